"""The report on a retriever: top-k retrieval accuracy for every k, and how sure it is. Knows strings only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.evaluation.answers import MATCHES
from dpr_tf.evaluation.confidence import bootstrap_interval
from dpr_tf.evaluation.measures import answer_rank, top_k_hits


class RetrievalReport(NamedTuple):
    """How well a retriever finds answers.

    Attributes:
        ranks: int64 [questions], the rank of the first passage with an answer, 0 for none.
        accuracy: float64 [passages], top-k retrieval accuracy in [0, 1]; `accuracy[k - 1]` is top-k.
        low, high: float64 [passages], bounds of its confidence interval.
        level: share of bootstrap means inside the interval.
    """

    ranks: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray
    level: float

    @property
    def mean_reciprocal_rank(self) -> float:
        """The mean of 1 / rank, 0 where no passage contains an answer, in [0, 1]."""
        return float(np.divide(1.0, self.ranks, out=np.zeros(len(self.ranks)), where=self.ranks > 0).mean())

    def as_json(self, ks: Sequence[int]) -> dict[str, Any]:
        """What JSON can hold: shares in [0, 1], for some k.

        Args:
            ks: numbers of passages, each from 1 to the largest number that was retrieved.

        Raises:
            ValueError: for another k.
        """
        if wrong := [k for k in ks if not 1 <= k <= len(self.accuracy)]:
            raise ValueError(
                f"at most {len(self.accuracy)} passages were retrieved for a question: "
                f"there is no top-{wrong[0]}"
            )
        return {
            "questions": len(self.ranks),
            "passages": len(self.accuracy),
            "mean_reciprocal_rank": round(self.mean_reciprocal_rank, 6),
            "level": self.level,
            "top_k": {
                str(k): {
                    name: round(float(values[k - 1]), 6)
                    for name, values in (("accuracy", self.accuracy), ("low", self.low), ("high", self.high))
                }
                for k in ks
            },
        }


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
    hits = top_k_hits(np.array(ranks), range(1, depth + 1))
    low, high = bootstrap_interval(hits, level=level, resamples=resamples, seed=seed)
    return RetrievalReport(np.array(ranks), hits.mean(axis=0), low, high, level)
