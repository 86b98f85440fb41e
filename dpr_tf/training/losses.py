"""The loss of in-batch contrast and its measures, one small step each, in `keras.ops`.

Each question is scored against every passage of the batch; its positive is to win the softmax (Karpukhin et
al. 2020, section 3.2). Knows vectors and masks, no model and no data.
"""

from __future__ import annotations

from typing import Any

from keras import ops

MASKED = -1e30  # far below any score, and far enough from the lowest float32 to be subtracted from


def score_pairs(questions: Any, passages: Any) -> Any:
    """Inner products of all pairs, in float32 whatever the precision of the vectors.

    Args:
        questions: float [questions, dim].
        passages: float [passages, dim].

    Returns:
        float32 [questions, passages].
    """
    return ops.matmul(ops.cast(questions, "float32"), ops.transpose(ops.cast(passages, "float32")))


def countable(present: Any, ignored: Any) -> Any:
    """Which pairs count: the passage is there, and the pair is not to be ignored.

    Args:
        present: bool [passages]; False for filler.
        ignored: bool [questions, passages]; True for pairs that count neither as positive nor as negative.

    Returns:
        bool [questions, passages].
    """
    return ops.logical_and(ops.expand_dims(present, 0), ops.logical_not(ignored))


def mask_scores(scores: Any, counted: Any) -> Any:
    """Scores so low that they take no part in a softmax, for pairs that do not count.

    Args:
        scores: float32 [questions, passages].
        counted: bool [questions, passages].

    Returns:
        float32 [questions, passages].
    """
    return ops.where(counted, scores, MASKED)


def negative_log_likelihood(scores: Any, positives: Any) -> Any:
    """How unlikely each question's positive is in the softmax over its scores; the loss is the mean.

    Args:
        scores: float32 [questions, passages], masked.
        positives: int [questions], the column of each question's positive.

    Returns:
        float32 [questions], >= 0.
    """
    return -_at(ops.log_softmax(scores, axis=-1), positives)


def positive_ranks(scores: Any, positives: Any) -> Any:
    """Where each question's positive stands: 0 if it has the highest score, the argmax.

    Args:
        scores: float32 [questions, passages], masked.
        positives: int [questions], the column of each question's positive.

    Returns:
        int32 [questions]: the number of passages before it, those with the same score included that stand in
        an earlier column.
    """
    own = ops.expand_dims(_at(scores, positives), 1)
    earlier = ops.expand_dims(ops.arange(ops.shape(scores)[1], dtype="int32"), 0) < ops.expand_dims(
        ops.cast(positives, "int32"), 1
    )
    before = ops.logical_or(scores > own, ops.logical_and(scores == own, earlier))
    return ops.sum(ops.cast(before, "int32"), axis=1)


def negatives(counted: Any) -> Any:
    """How many passages each question is contrasted with: those that count, but for its positive.

    Args:
        counted: bool [questions, passages]; each question's positive counts.

    Returns:
        int32 [questions]; where it is 0, the loss is 0 whatever the vectors are.
    """
    return ops.sum(ops.cast(counted, "int32"), axis=1) - 1


def _at(values: Any, columns: Any) -> Any:
    """values [rows, columns] at one column of each row -> [rows]."""
    return ops.squeeze(ops.take_along_axis(values, ops.expand_dims(columns, 1), axis=1), axis=1)
