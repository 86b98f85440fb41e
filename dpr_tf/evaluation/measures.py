"""Measures over many questions: top-k retrieval accuracy, exact match, F1. Knows strings only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.evaluation.answers import AnswerMatcher, exact_match, f1


def answer_rank(texts: Iterable[str], answers: Sequence[str], match: str = "string") -> int:
    """The rank of the first passage that contains an answer.

    Args:
        texts: of the passages of one question, best first.
        answers: phrasings of the answer.
        match: "string" or "regex", as for `AnswerMatcher`.

    Returns:
        1 for the first passage; 0 if no passage contains an answer.
    """
    matcher = AnswerMatcher(answers, match)
    return next((rank for rank, text in enumerate(texts, start=1) if matcher.found_in(text)), 0)


def top_k_hits(ranks: np.ndarray, ks: Sequence[int]) -> np.ndarray:
    """Whether a question has an answer among its first k passages.

    Args:
        ranks: int [questions], as `answer_rank` gives them: 0 for none.
        ks: numbers of passages to look at.

    Returns:
        bool [questions, ks]; the mean over questions is the top-k retrieval accuracy for each k.
    """
    ranks = np.asarray(ranks)[:, None]
    return (ranks > 0) & (ranks <= np.asarray(ks))


def top_k_accuracy(
    retrieved: Sequence[Sequence[str]],
    answers: Sequence[Sequence[str]],
    ks: Sequence[int],
    match: str = "string",
) -> dict[int, float]:
    """Top-k retrieval accuracy: the share of questions with an answer in one of their first k passages.

    Others call it recall@k or hit rate; here, as in DPR, a passage counts if it contains an answer.

    Args:
        retrieved: for each question the texts of its passages, best first.
        answers: for each question the phrasings of its answer.
        ks: numbers of passages to look at.
        match: "string" or "regex", as for `AnswerMatcher`.

    Returns:
        For each k a share in [0, 1].

    Raises:
        ValueError: if there are no questions, or not as many lists of passages as of answers.
    """
    _check(retrieved, answers)
    ranks = [answer_rank(texts, wanted, match) for texts, wanted in zip(retrieved, answers, strict=True)]
    return dict(zip(ks, top_k_hits(np.array(ranks), ks).mean(axis=0).tolist(), strict=True))


def gold_ranks(scores: np.ndarray, gold: np.ndarray) -> np.ndarray:
    """Where the gold passage of each question stands among all passages of a pool.

    Its mean is the average rank by which DPR chooses checkpoints: lower is better, 0 is perfect.

    Args:
        scores: float [questions, passages].
        gold: int [questions], the column of each question's gold passage.

    Returns:
        int64 [questions]: the number of passages before it, those with the same score included that stand
        in an earlier column, as an index orders them.

    Raises:
        ValueError: for other shapes, columns outside the pool, or scores that are NaN.
    """
    scores, gold = np.asarray(scores), np.asarray(gold)
    if scores.ndim != 2 or gold.shape != scores.shape[:1] or not scores.size:
        raise ValueError(
            "expected scores [questions, passages] and gold [questions], "
            f"got {list(scores.shape)} and {list(gold.shape)}"
        )
    if gold.min() < 0 or gold.max() >= scores.shape[1]:
        raise ValueError(
            f"gold must name columns from 0 to {scores.shape[1] - 1}, got {gold.min()} to {gold.max()}"
        )
    if np.isnan(scores).any():
        raise ValueError("scores hold NaN: the encoders or their inputs are broken")
    own = np.take_along_axis(scores, gold[:, None], axis=1)
    earlier = np.arange(scores.shape[1]) < gold[:, None]
    return ((scores > own) | ((scores == own) & earlier)).sum(axis=1)


class AnswerScores(NamedTuple):
    """How good the answers to many questions are.

    Attributes:
        exact_match: share of questions answered exactly, in [0, 1].
        f1: mean token overlap, in [0, 1].
    """

    exact_match: float
    f1: float


def score_answers(predictions: Sequence[str], answers: Sequence[Sequence[str]]) -> AnswerScores:
    """Compares one prediction per question with the phrasings of its answer.

    Args:
        predictions: the predicted answers; "" for none.
        answers: for each question the phrasings of its answer.

    Raises:
        ValueError: if there are no questions, or not as many predictions as lists of answers.
    """
    _check(predictions, answers)
    pairs = list(zip(predictions, answers, strict=True))
    return AnswerScores(
        exact_match=sum(exact_match(prediction, wanted) for prediction, wanted in pairs) / len(pairs),
        f1=sum(f1(prediction, wanted) for prediction, wanted in pairs) / len(pairs),
    )


class Prediction(NamedTuple):
    """What a reader found in one passage.

    Attributes:
        text: the answer.
        rank: the retriever's rank of the passage, 1 for the best.
        score: what orders the predictions of a question; higher is better. A tuple for several criteria,
            such as relevance and span score.
    """

    text: str
    rank: int
    score: Any


def score_answers_by_k(
    predictions: Sequence[Iterable[Prediction]], answers: Sequence[Sequence[str]], ks: Sequence[int]
) -> dict[int, AnswerScores]:
    """Exact match and F1 as they would be if only the first k passages had been read, for several k.

    The passages are read once: for each k the best prediction from the first k passages counts.

    Args:
        predictions: for each question the predictions from all its passages, in any order; none counts as
            a wrong answer. Of equal scores the one from the better passage counts.
        answers: for each question the phrasings of its answer.
        ks: numbers of passages.

    Raises:
        ValueError: if there are no questions, or not as many lists of predictions as of answers.
    """
    _check(predictions, answers)
    best = [_best_by_k(of_question, ks) for of_question in predictions]
    return {k: score_answers([texts[column] for texts in best], answers) for column, k in enumerate(ks)}


def _best_by_k(predictions: Iterable[Prediction], ks: Sequence[int]) -> list[str]:
    """For each k the text of the best prediction, "" if there is none."""
    ordered = sorted(predictions, key=lambda prediction: prediction.rank)
    best: Prediction | None = None
    found, position = {}, 0
    for k in sorted(set(ks)):
        while position < len(ordered) and ordered[position].rank <= k:
            if best is None or ordered[position].score > best.score:
                best = ordered[position]
            position += 1
        found[k] = best.text if best else ""
    return [found[k] for k in ks]


def _check(found: Sequence, answers: Sequence) -> None:
    if len(found) != len(answers) or not answers:
        raise ValueError(
            f"expected one entry per question, and questions: got {len(found)} and {len(answers)}"
        )
