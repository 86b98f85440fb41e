"""The report on a retriever: top-k retrieval accuracy for every k, and how sure it is. Knows strings only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from dpr_tf.evaluation.answers import MATCHES
from dpr_tf.evaluation.confidence import Estimate, bootstrap_interval
from dpr_tf.evaluation.measures import answer_rank, top_k_hits


class RetrievalReport(NamedTuple):
    """How well a retriever finds answers.

    Attributes:
        ranks: int64 [questions], the rank of the first passage with an answer, 0 for none.
        accuracy: float64 [passages], top-k retrieval accuracy in [0, 1]; `accuracy[k - 1]` is top-k.
        low, high: float64 [passages], bounds of its confidence interval.
        mean_reciprocal_rank: the mean of 1 / rank, 0 where no passage contains an answer.
        level: share of bootstrap means inside the intervals.
    """

    ranks: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    mean_reciprocal_rank: Estimate
    level: float

    def estimate(self, k: int) -> Estimate:
        """Top-k retrieval accuracy for one k.

        Raises:
            ValueError: if k is below 1, or more than what was retrieved for any question.
        """
        if not 1 <= k <= len(self.accuracy):
            raise ValueError(
                f"at most {len(self.accuracy)} passages were retrieved for a question: there is no top-{k}"
            )
        return Estimate(*(float(values[k - 1]) for values in (self.accuracy, self.low, self.high)))


def evaluate_retrieval(
    results: Iterable[tuple[Sequence[str], Sequence[str]]],
    *,
    match: str = "string",
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> RetrievalReport:
    """Looks for answers in what was retrieved, in one pass over the questions.

    Args:
        results: for each question the phrasings of its answer, and the texts of its passages, best first.
            They are looked at one after the other: a generator needs no memory.
        match: "string" or "regex", as for `AnswerMatcher`.
        level, resamples, seed: of the confidence interval, as for `bootstrap_interval`.

    Raises:
        ValueError: if there are no questions, none has answers, or nothing was retrieved.
    """
    if match not in MATCHES:
        raise ValueError(f"match={match!r}: expected one of {', '.join(map(repr, MATCHES))}")
    ranks, depth, answerable = [], 0, False
    for answers, texts in results:
        ranks.append(answer_rank(texts, answers, match))
        depth = max(depth, len(texts))
        answerable = answerable or bool(answers)
    if not ranks or not depth or not answerable:
        missing = "questions" if not ranks else "answers" if not answerable else "passages"
        raise ValueError(f"there are no {missing} to evaluate")
    found = np.array(ranks)
    reciprocal = np.divide(1.0, found, out=np.zeros(len(found)), where=found > 0)
    hits = top_k_hits(found, range(1, depth + 1))
    values = np.column_stack([reciprocal, hits])
    low, high = bootstrap_interval(values, level=level, resamples=resamples, seed=seed)
    mean_reciprocal_rank = Estimate(float(reciprocal.mean()), float(low[0]), float(high[0]))
    return RetrievalReport(found, hits.mean(axis=0), low[1:], high[1:], mean_reciprocal_rank, level)
