"""The reader's loss, per question, in small steps: which passage answers, and where in it the answer stands.

As in DPR (Karpukhin et al. 2020, section 6.1): the cross-entropy of the positive among a question's passages,
plus the negative log of the summed probabilities of its answer spans. All steps compute in float32.

Two things differ from facebookresearch/DPR, and neither moves the optimum. Its losses are sums over the
questions of a batch; these are one number per question, to be averaged, so that learning rate and clipping
mean the same for every batch size. Its softmax runs over padding as well, and over empty rows where a
question has too few negatives; both are left out here, so that a loss does not depend on what shares its
batch.
"""

from __future__ import annotations

from typing import Any

from keras import ops

# Stands for a probability of 0 in a logarithm: finite, so that gradients are.
_IMPOSSIBLE = -1e30


def masked_log_softmax(logits: Any, mask: Any) -> Any:
    """Log-probabilities over the last axis, of what the mask keeps.

    Args:
        logits: float [..., n].
        mask: bool or int [..., n]; at least one kept in each row.

    Returns:
        float32 [..., n]; what is masked has a log-probability so low that it adds nothing to any sum.
    """
    kept = ops.where(ops.cast(mask, "bool"), ops.cast(logits, "float32"), _IMPOSSIBLE)
    return kept - ops.logsumexp(kept, axis=-1, keepdims=True)


def relevance_losses(relevance_logits: Any, present: Any) -> Any:
    """Cross-entropy of each question's passages against its positive, which is the first.

    Args:
        relevance_logits: float [questions, passages].
        present: bool [questions, passages]; False for filler where a question has too few negatives.

    Returns:
        float32 [questions].
    """
    return -masked_log_softmax(relevance_logits, present)[:, 0]


def ranked_first(relevance_logits: Any, present: Any) -> Any:
    """Whether each question's positive, the first passage, has the highest relevance; of equals, the first.

    Args:
        relevance_logits, present: as for `relevance_losses`.

    Returns:
        float32 [questions], 1 or 0.
    """
    log_probabilities = masked_log_softmax(relevance_logits, present)
    return ops.cast(ops.argmax(log_probabilities, axis=-1) == 0, "float32")


def span_log_probabilities(start_logits: Any, end_logits: Any, mask: Any, starts: Any, ends: Any) -> Any:
    """Log-probabilities of spans: that of the start among all tokens plus that of the end.

    Args:
        start_logits, end_logits: float [questions, tokens], of each question's positive.
        mask: int or bool [questions, tokens]; 0 for padding, which no answer can be in.
        starts, ends: int [questions, spans], both ends inclusive, counted from [CLS]; -1 for filler.

    Returns:
        float32 [questions, spans]; so low for filler that it adds nothing to any sum.
    """
    start = ops.take_along_axis(masked_log_softmax(start_logits, mask), ops.maximum(starts, 0), axis=-1)
    end = ops.take_along_axis(masked_log_softmax(end_logits, mask), ops.maximum(ends, 0), axis=-1)
    return ops.where(starts >= 0, start + end, _IMPOSSIBLE)


def marginal_losses(log_probabilities: Any, starts: Any) -> Any:
    """Negative log of the probability of any of a question's spans: `-log sum exp`.

    The original computes span losses for all passages of a question and takes the maximum over them: only the
    positive has spans, so that is its own.

    Args:
        log_probabilities: float32 [questions, spans].
        starts: int [questions, spans]; -1 for filler.

    Returns:
        float32 [questions]; 0 for a question without any span.
    """
    losses = -ops.logsumexp(log_probabilities, axis=-1)
    return ops.where(ops.any(starts >= 0, axis=-1), losses, 0.0)


def span_losses(start_logits: Any, end_logits: Any, mask: Any, starts: Any, ends: Any) -> Any:
    """Marginal span loss of each question; arguments as for `span_log_probabilities`.

    Returns:
        float32 [questions].
    """
    return marginal_losses(span_log_probabilities(start_logits, end_logits, mask, starts, ends), starts)
