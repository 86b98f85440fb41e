"""Vectors and gradients of a batch on TensorFlow, at once or chunk by chunk (the gradient cache).

In chunks, a batch is first encoded without a graph, for its vectors. Their loss and its gradient with respect
to the vectors are computed for the whole batch. Then each chunk is encoded again, with a graph, and its
vectors' gradient is carried on to the weights: Gao et al. 2021, arXiv 2101.06983. The seeds of dropout are
wound back before the second time, so that both times drop the same units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from dpr_tf.models import layouts


@layouts.without_padding()
def encode(model: Any, x: Mapping[str, Any], training: bool) -> dict[str, tf.Tensor]:
    """Vectors of a batch, `chunk_size` texts at a time.

    Args:
        model: a BiEncoder.
        x: of a batch.
        training: whether to drop units out.

    Returns:
        What `model(x)` returns, in float32.
    """
    if model.chunk_size is None:
        return model(x, training=training)
    return {
        name: _encode_chunks(model, encoder, texts, training)
        for name, (encoder, texts) in model.encoders(x).items()
    }


@layouts.without_padding()
def gradients(model: Any, x: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[Any, list[tf.Tensor]]:
    """The contrast of a batch, and the gradients of its mean loss.

    Args:
        model: a compiled BiEncoder.
        x, y: a batch.

    Returns:
        A Contrast, and a dense gradient for each of `model.trainable_variables`; on several replicas, this
        one's share of it: the gradient of the whole batch is the sum.
    """
    return _gradients_at_once(model, x, y) if model.chunk_size is None else _gradients_in_chunks(model, x, y)


def _gradients_at_once(model: Any, x: Any, y: Any) -> tuple[Any, list[tf.Tensor]]:
    with tf.GradientTape() as tape:
        contrast = model.contrast(model(x, training=True), y)
        loss = model.optimizer.scale_loss(model.mean_loss(contrast))
    return contrast, dense(tape, loss, model.trainable_variables)


def _gradients_in_chunks(model: Any, x: Any, y: Any) -> tuple[Any, list[tf.Tensor]]:
    start = [(seed, tf.identity(seed.value)) for seed in _seeds(model)]
    vectors = encode(model, x, training=True)
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        contrast = model.contrast(vectors, y)
        loss = model.optimizer.scale_loss(model.mean_loss(contrast))
    upstream = tape.gradient(loss, vectors)
    for seed, value in start:
        seed.assign(value)
    total = {id(weight): tf.zeros(weight.shape, weight.dtype) for weight in model.trainable_variables}
    for name, (encoder, texts) in model.encoders(x).items():
        weights = encoder.trainable_variables
        added = _add_chunk_gradients(
            model, encoder, texts, upstream[name], [total[id(weight)] for weight in weights]
        )
        total.update({id(weight): gradient for weight, gradient in zip(weights, added, strict=True)})
    return contrast, list(total.values())


def _seeds(model: Any) -> list[Any]:
    """The states of all random number generators of the encoders."""
    weights = {id(weight) for weight in model.weights}
    measures = {id(variable) for variable in model.metrics_variables}
    return [v for v in model.non_trainable_variables if id(v) not in weights | measures]


def _encode_chunks(model: Any, encoder: Any, texts: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
    """Vectors float32 [texts, dim]; no more than one chunk's states are held at a time."""
    width, size = encoder.body.embeddings_size, model.chunk_size
    number = number_of_chunks(texts["input_ids"], size)
    chunks = tf.TensorArray(tf.float32, number, infer_shape=False, element_shape=[None, width])

    def encode_chunk(index, chunks):
        vectors = model.encode(encoder, chunk(texts, index, size), training)
        return index + 1, chunks.write(index, tf.cast(vectors, tf.float32))

    return loop(number, encode_chunk, chunks).concat()


def _add_chunk_gradients(
    model: Any, encoder: Any, texts: Mapping[str, tf.Tensor], upstream: tf.Tensor, total: list[tf.Tensor]
) -> list[tf.Tensor]:
    """Adds the gradients of an encoder's weights, given its vectors', to `total`."""
    weights, size = encoder.trainable_variables, model.chunk_size
    if not weights:
        return total

    def add_chunk(index, total):
        with tf.GradientTape() as tape:
            vectors = model.encode(encoder, chunk(texts, index, size), training=True)
            # The inner product with constants has these constants as its gradient.
            carried = tf.reduce_sum(tf.cast(vectors, tf.float32) * _rows(upstream, index, size))
        return index + 1, [a + b for a, b in zip(total, dense(tape, carried, weights), strict=True)]

    return loop(number_of_chunks(texts["input_ids"], size), add_chunk, total)


def loop(number: tf.Tensor, body: Callable, state: Any) -> Any:
    """What becomes of `state` by `body(index, state)` for each index, strictly one after the other."""
    return tf.while_loop(
        lambda index, _: index < number, body, (tf.constant(0), state), parallel_iterations=1
    )[1]


def number_of_chunks(values: tf.Tensor, size: int) -> tf.Tensor:
    """How many chunks of `size` rows there are; the last may be smaller."""
    return -(-tf.shape(values)[0] // size)


def chunk(arrays: Mapping[str, tf.Tensor], index: tf.Tensor, size: int) -> dict[str, tf.Tensor]:
    """Chunk `index` of each of some arrays: `size` rows, or what is left of them."""
    return {name: _rows(values, index, size) for name, values in arrays.items()}


def _rows(values: tf.Tensor, index: tf.Tensor, size: int) -> tf.Tensor:
    return values[index * size : (index + 1) * size]


def dense(tape: tf.GradientTape, loss: tf.Tensor, weights: list[Any]) -> list[tf.Tensor]:
    """Gradients, those of looked up tables as whole tables, as Adam and clipping need them."""
    found = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [tf.convert_to_tensor(gradient) for gradient in found]
