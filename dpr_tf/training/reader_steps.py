"""Losses and gradients of a batch for the reader on TensorFlow, at once or some questions at a time.

The loss is a mean over questions, and no question's depends on another: the gradients of chunks add up to
that of the batch, whatever the chunks' sizes are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from dpr_tf.training import replicas, steps

_COLUMNS = 3  # of what `ReaderTrainer.losses_of` gives


def losses(model: Any, x: Mapping[str, Any], y: Mapping[str, Any]) -> tf.Tensor:
    """What a batch gives for each question, without dropout: float32 [Q, 3], see `ReaderTrainer.losses_of`.

    Args:
        model: a ReaderTrainer.
        x, y: a batch.
    """
    if model.chunk_size is None:
        return model.losses_of(x, y, model(x, training=False))
    number = steps.number_of_chunks(y["starts"], model.chunk_size)

    def add_chunk(index, found):
        part, answers = (steps.chunk(arrays, index, model.chunk_size) for arrays in (x, y))
        return index + 1, found.write(index, model.losses_of(part, answers, model(part, training=False)))

    return steps.loop(number, add_chunk, _array(number)).concat()


def gradients(model: Any, x: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """What a batch gives for each question, and the gradients of its mean loss.

    Args:
        model: a compiled ReaderTrainer.
        x, y: a batch.

    Returns:
        float32 [Q, 3], and a dense gradient for each of `model.trainable_variables`; on several replicas,
        this one's share of it: the gradient of the whole batch is the sum.
    """
    _, questions = replicas.rows(y["starts"])
    if model.chunk_size is None:
        return _gradients(model, x, y, questions)
    number = steps.number_of_chunks(y["starts"], model.chunk_size)

    def add_chunk(index, state):
        found, total = state
        part, answers = (steps.chunk(arrays, index, model.chunk_size) for arrays in (x, y))
        of_chunk, added = _gradients(model, part, answers, questions)
        return index + 1, (found.write(index, of_chunk), [a + b for a, b in zip(total, added, strict=True)])

    zeros = [tf.zeros(weight.shape, weight.dtype) for weight in model.trainable_variables]
    found, total = steps.loop(number, add_chunk, (_array(number), zeros))
    return found.concat(), total


def _gradients(model: Any, x: Any, y: Any, questions: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
    with tf.GradientTape() as tape:
        found = model.losses_of(x, y, model(x, training=True))
        loss = model.optimizer.scale_loss(model.share_of_loss(found, questions))
    return found, steps.dense(tape, loss, model.trainable_variables)


def _array(number: tf.Tensor) -> tf.TensorArray:
    return tf.TensorArray(tf.float32, number, infer_shape=False, element_shape=[None, _COLUMNS])
