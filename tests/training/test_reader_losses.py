"""The reader's loss: by hand, against a loop in NumPy, and where padding and filler must not matter."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from dpr_tf.training import reader_losses


def slow_losses(relevance, present, start, end, mask, starts, ends):
    """The twin: (relevance losses, span losses), one question, passage and span at a time, in float64."""
    of_relevance, of_spans = [], []
    for q in range(len(relevance)):
        kept = [math.exp(relevance[q][n]) for n in range(len(relevance[q])) if present[q][n]]
        of_relevance.append(-math.log(math.exp(relevance[q][0]) / sum(kept)))
        tokens = [t for t in range(len(start[q])) if mask[q][t]]
        all_starts = sum(math.exp(start[q][t]) for t in tokens)
        all_ends = sum(math.exp(end[q][t]) for t in tokens)
        spans = [(s, e) for s, e in zip(starts[q], ends[q], strict=True) if s >= 0]
        likelihood = sum(
            math.exp(start[q][s]) / all_starts * math.exp(end[q][e]) / all_ends for s, e in spans
        )
        of_spans.append(-math.log(likelihood) if spans else 0.0)
    return np.array(of_relevance), np.array(of_spans)


def random_case(rng, questions=5, passages=4, tokens=7, spans=3):
    """Arguments of `slow_losses`; lengths, numbers of passages and of spans vary, to none for a question."""
    lengths = rng.integers(2, tokens + 1, questions)
    mask = np.arange(tokens) < lengths[:, None]
    present = np.arange(passages) < rng.integers(1, passages + 1, questions)[:, None]
    starts = (rng.random((questions, spans)) * lengths[:, None]).astype(np.int32)
    ends = np.minimum(starts + rng.integers(0, 3, starts.shape), lengths[:, None] - 1).astype(np.int32)
    filler = np.arange(spans) >= np.arange(questions)[:, None]  # question 0 has no span, question 1 one
    starts[filler] = ends[filler] = -1
    logits = rng.normal(size=(2, questions, tokens)).astype(np.float32) * 3
    relevance = rng.normal(size=(questions, passages)).astype(np.float32) * 3
    return relevance, present, *logits, mask, starts, ends


def fast_losses(relevance, present, *span_arguments):
    return (
        np.asarray(reader_losses.relevance_losses(relevance, present)),
        np.asarray(reader_losses.span_losses(*span_arguments)),
    )


def test_by_hand():
    # Passages with logits log 1, log 3 and a filler: the positive has 1 / (1 + 3).
    relevance = np.log([[1.0, 3.0, 5.0]]).astype(np.float32)
    loss = reader_losses.relevance_losses(relevance, np.array([[True, True, False]]))
    np.testing.assert_allclose(loss, [math.log(4)], rtol=1e-6)
    # Starts 1, 2, 1 of 4, ends 1, 1, 2 of 4; the fourth token is padding. Spans (0, 1) and (1, 2):
    # 1/4 * 1/4 + 2/4 * 2/4 = 5/16.
    start = np.log([[1.0, 2.0, 1.0, 9.0]]).astype(np.float32)
    end = np.log([[1.0, 1.0, 2.0, 9.0]]).astype(np.float32)
    mask, starts, ends = np.array([[1, 1, 1, 0]]), np.array([[0, 1, -1]]), np.array([[1, 2, -1]])
    np.testing.assert_allclose(
        reader_losses.span_losses(start, end, mask, starts, ends), [math.log(16 / 5)], rtol=1e-6
    )


def test_equals_the_slow_twin():
    rng = np.random.default_rng(0)
    for _ in range(20):
        case = random_case(rng)
        for found, expected in zip(fast_losses(*case), slow_losses(*case), strict=True):
            np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


def test_padding_and_filler_change_nothing():
    rng = np.random.default_rng(1)
    relevance, present, start, end, mask, starts, ends = random_case(rng)
    before = fast_losses(relevance, present, start, end, mask, starts, ends)
    wide = [np.pad(array, [(0, 0), (0, 3)], constant_values=50.0) for array in (relevance, start, end)]
    flags = [np.pad(array, [(0, 0), (0, 3)]) for array in (present, mask)]
    spans = [np.pad(array, [(0, 0), (0, 3)], constant_values=-1) for array in (starts, ends)]
    after = fast_losses(wide[0], flags[0], wide[1], wide[2], flags[1], *spans)
    for found, expected in zip(after, before, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_certain_and_hopeless_answers_stay_finite():
    mask, starts, ends = np.ones((2, 3), bool), np.array([[0], [1]]), np.array([[0], [2]])
    logits = np.array([[100.0, -100.0, -100.0]] * 2, np.float32)
    # sure and right: 0; sure and wrong: 200 for the start and 200 for the end
    np.testing.assert_allclose(
        reader_losses.span_losses(logits, logits, mask, starts, ends), [0, 400], atol=1e-5
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_computes_in_float32(dtype):
    logits = ops.cast([[1.0, 2.0]], dtype)
    loss = reader_losses.relevance_losses(logits, np.ones((1, 2), bool))
    assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    np.testing.assert_allclose(loss, [math.log(1 + math.e)], rtol=1e-6)


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="takes gradients with TensorFlow")
def test_filler_has_no_gradient():
    import tensorflow as tf

    relevance, present, start, end, mask, starts, ends = random_case(np.random.default_rng(2))
    logits = [tf.constant(array) for array in (relevance, start, end)]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = reader_losses.relevance_losses(logits[0], present)
        loss = ops.sum(losses + reader_losses.span_losses(logits[1], logits[2], mask, starts, ends))
    gradients = [gradient.numpy() for gradient in tape.gradient(loss, logits)]
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    assert (gradients[0][~present] == 0).all()
    assert (gradients[1][~mask] == 0).all()
    assert (gradients[1][0] == 0).all()  # the question without spans
    assert (gradients[1][1:][mask[1:]] != 0).all()
