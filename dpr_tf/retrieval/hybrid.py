"""Fusion of what two retrievers found: weighted sum of scores, or reciprocal ranks. Knows no model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dpr_tf.data.passages import Passage
from dpr_tf.evaluation.answers import AnswerMatcher
from dpr_tf.retrieval.scored import RetrievesPassages, ScoredPassage

# Weights to try, in units of the ratio of the spreads of both scores: 1 is an equal say. 0 is sparse alone;
# at 32 dense scores decide, sparse ones only where those are close.
_GRID = (0.0, *np.geomspace(1 / 32, 32, 41).tolist())


def fuse_by_weight(
    sparse: Sequence[ScoredPassage], dense: Sequence[ScoredPassage], weight: float, k: int
) -> list[ScoredPassage]:
    """Orders what two retrievers found for one question by `sparse score + weight * dense score`.

    As in the DPR paper, whose weight was 1.1 for BM25 and DPR. A passage that only one of them found gets the
    lowest score the other gave, or 0 if that found none: it would not have been higher.

    Args:
        sparse: of one retriever, best first.
        dense: of the other, best first.
        weight: of the dense score; 0 or more. Scores have no fixed range: see `tune_weight`.
        k: how many to return.

    Returns:
        At most k passages with the sum as their score. Of equal sums the one that is earlier in `sparse`
        comes first, then the one that is earlier in `dense`.

    Raises:
        ValueError: if the weight is negative or not finite, or k below 1.
    """
    if not 0 <= weight < float("inf"):
        raise ValueError(f"the weight must be a finite number of at least 0, got {weight}")
    passages, sparse_scores, dense_scores = _union(sparse, dense)
    return _best(passages, sparse_scores + weight * dense_scores, k)


def fuse_by_rank(
    rankings: Sequence[Sequence[ScoredPassage]], k: int, constant: int = 60
) -> list[ScoredPassage]:
    """Orders what several retrievers found for one question by reciprocal rank fusion (Cormack et al. 2009).

    The score of a passage is the sum of `1 / (constant + rank)` over the rankings that have it. Needs no
    weight: only ranks count.

    Args:
        rankings: of each retriever, best first.
        k: how many to return.
        constant: how little the very first ranks count more than others; at least 0.

    Returns:
        At most k passages with the fused score; equal ones in the order of their first ranking.

    Raises:
        ValueError: if the constant is negative, or k below 1.
    """
    if constant < 0:
        raise ValueError(f"the constant must be at least 0, got {constant}")
    passages: dict[str, Passage] = {}
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, scored in enumerate(ranking, start=1):
            passages.setdefault(scored.passage.id, scored.passage)
            scores[scored.passage.id] = scores.get(scored.passage.id, 0.0) + 1 / (constant + rank)
    return _best(list(passages.values()), np.array([scores[id_] for id_ in passages]), k)


class TunedWeight(NamedTuple):
    """The weight of the dense score, chosen on questions with known answers.

    Attributes:
        weight: for `fuse_by_weight`.
        accuracy: top-k retrieval accuracy with it on those questions, in [0, 1].
        tried: {weight: accuracy} of all that were tried; 0 is sparse alone.
    """

    weight: float
    accuracy: float
    tried: dict[float, float]


def tune_weight(
    sparse: Sequence[Sequence[ScoredPassage]],
    dense: Sequence[Sequence[ScoredPassage]],
    answers: Sequence[Sequence[str]],
    *,
    k: int = 20,
    match: str = "string",
) -> TunedWeight:
    """Chooses the weight by which most questions have an answer in their first k passages.

    42 weights are tried: 0, and from 1/32 to 32 times the ratio of the standard deviations of the scores of
    both. Of equally good ones the one with the higher mean reciprocal rank is taken, then the smaller.

    Args:
        sparse, dense: what each found for the questions of a development set; more passages than k, such
            as 100 for k = 20, give fusion something to do.
        answers: for each question its phrasings.
        k: number of passages that counts.
        match: "string" or "regex", as for `AnswerMatcher`.

    Raises:
        ValueError: if there are no questions, the arguments differ in length, or k is below 1.
    """
    if not len(sparse) == len(dense) == len(answers) or not answers or k < 1:
        raise ValueError(
            "expected what both found and the answers for the same questions, and k of at least 1; "
            f"got {len(sparse)}, {len(dense)} and {len(answers)} questions, k={k}"
        )
    pools = [_judged(*question, match) for question in zip(sparse, dense, answers, strict=True)]
    unit = _spread(sparse) / spread if (spread := _spread(dense)) else 1.0
    tried, best = {}, (-1.0, -1.0, 0.0)
    for weight in (unit * factor for factor in _GRID):
        ranks = np.array([_rank(sums + weight * others, hits) for sums, others, hits in pools])
        tried[weight] = float((ranks <= k).mean())
        best = max(best, (tried[weight], float((1 / ranks).mean()), -weight))
    return TunedWeight(-best[2], best[0], tried)


class HybridRetriever:
    """Asks a sparse and a dense retriever and fuses what they find.

    Args:
        sparse: such as a BM25Retriever.
        dense: such as a Retriever, of the same passages.
        weight: of the dense score for `fuse_by_weight`, from `tune_weight`; None for `fuse_by_rank`.
        depth: passages to ask each for; k, if that is more.

    Raises:
        ValueError: if the weight is negative or not finite, or the depth below 1.
    """

    def __init__(
        self,
        sparse: RetrievesPassages,
        dense: RetrievesPassages,
        weight: float | None = None,
        depth: int = 100,
    ) -> None:
        if weight is not None and not 0 <= weight < float("inf"):
            raise ValueError(f"the weight must be a finite number of at least 0, got {weight}")
        if depth < 1:
            raise ValueError(f"the depth must be at least 1, got {depth}")
        self._sparse, self._dense = sparse, dense
        self._weight, self._depth = weight, depth

    def retrieve(self, questions: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """Finds the best passages for each question.

        Args:
            questions: one or more questions.
            k: passages per question, at least 1.

        Returns:
            For each question at most k passages with their fused scores, best first.

        Raises:
            ValueError: if k is below 1.
            TypeError: if `questions` is a single str.
        """
        depth = max(k, self._depth)
        found = zip(
            self._sparse.retrieve(questions, depth), self._dense.retrieve(questions, depth), strict=True
        )
        if self._weight is None:
            return [fuse_by_rank(rankings, k) for rankings in found]
        return [fuse_by_weight(sparse, dense, self._weight, k) for sparse, dense in found]


def _union(
    sparse: Sequence[ScoredPassage], dense: Sequence[ScoredPassage]
) -> tuple[list[Passage], np.ndarray, np.ndarray]:
    """The passages of both, each once, and float64 [passages] of either's scores, gaps filled."""
    passages = {scored.passage.id: scored.passage for scored in (*dense, *sparse)}
    order = dict.fromkeys(scored.passage.id for scored in (*sparse, *dense))
    columns = []
    for ranking in (sparse, dense):
        own = {scored.passage.id: scored.score for scored in ranking}
        lowest = min(own.values(), default=0.0)
        columns.append(np.array([own.get(id_, lowest) for id_ in order], np.float64))
    return [passages[id_] for id_ in order], columns[0], columns[1]


def _best(passages: Sequence[Passage], scores: np.ndarray, k: int) -> list[ScoredPassage]:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    order = np.argsort(-scores, kind="stable")[:k].tolist()
    return [ScoredPassage(passages[row], float(scores[row]), rank) for rank, row in enumerate(order, start=1)]


def _judged(
    sparse: Sequence[ScoredPassage], dense: Sequence[ScoredPassage], answers: Sequence[str], match: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """`_union`'s scores, and bool [passages] whether the passage contains an answer."""
    passages, sparse_scores, dense_scores = _union(sparse, dense)
    matcher = AnswerMatcher(answers, match)
    return sparse_scores, dense_scores, np.array([matcher.found_in(p.text) for p in passages], bool)


def _rank(scores: np.ndarray, hits: np.ndarray) -> float:
    """The rank of the best hit, ordered as `_best` orders; infinity if there is none."""
    if not hits.any():
        return float("inf")
    first = int(np.argmax(np.where(hits, scores, -np.inf)))
    return 1 + int((scores > scores[first]).sum() + (scores[:first] == scores[first]).sum())


def _spread(rankings: Sequence[Sequence[ScoredPassage]]) -> float:
    """The mean over questions of the standard deviation of their scores."""
    return float(
        np.mean([np.std([scored.score for scored in ranking]) if ranking else 0.0 for ranking in rankings])
    )
