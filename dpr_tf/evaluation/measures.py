"""Measures over many questions: top-k retrieval accuracy, exact match, F1. Knows strings only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dpr_tf.evaluation.answers import exact_match, f1, has_answer


def top_k_accuracy(
    retrieved: Sequence[Sequence[str]], answers: Sequence[Sequence[str]], ks: Sequence[int]
) -> dict[int, float]:
    """Top-k retrieval accuracy: the share of questions with an answer in one of their first k passages.

    Others call it recall@k or hit rate; here, as in DPR, a passage counts if it contains an answer.

    Args:
        retrieved: for each question the texts of its passages, best first.
        answers: for each question the phrasings of its answer.
        ks: numbers of passages to look at.

    Returns:
        For each k a share in [0, 1].

    Raises:
        ValueError: if there are no questions, or not as many lists of passages as of answers.
    """
    _check(retrieved, answers)
    first = [
        next((rank for rank, text in enumerate(texts, start=1) if has_answer(text, wanted)), None)
        for texts, wanted in zip(retrieved, answers, strict=True)
    ]
    return {k: sum(rank is not None and rank <= k for rank in first) / len(first) for k in ks}


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


def _check(found: Sequence, answers: Sequence) -> None:
    if len(found) != len(answers) or not answers:
        raise ValueError(
            f"expected one entry per question, and questions: got {len(found)} and {len(answers)}"
        )
