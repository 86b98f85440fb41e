"""Runs a model on batches of any size and length without compiling it anew for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

Forward = Callable[[Mapping[str, np.ndarray]], tuple[np.ndarray, ...]]


def compile_forward(model: keras.Model, inputs: Sequence[str], outputs: Sequence[str]) -> Forward:
    """Makes a compiled forward pass, without dropout.

    On TensorFlow it is traced once for all batch sizes and lengths; `predict_on_batch` would trace three
    times until it has found that both vary. On PyTorch it is `predict_on_batch`. So it is on JAX, which
    compiles for each shape anew: there batches are padded, so that few shapes occur.

    Args:
        model: one of the three models.
        inputs: names of the inputs, int [batch, tokens] each.
        outputs: names of the outputs.

    Returns:
        A function of {input name: int array} that gives the outputs, as float32 arrays in their order.
    """
    import keras  # here, so that what only names a retriever or a reader does not wait for TensorFlow

    backend = keras.config.backend()
    run = _traced(model, inputs) if backend == "tensorflow" else model.predict_on_batch
    if backend == "jax":
        run = _in_few_shapes(run, outputs, model.config.max_position_embeddings)

    def forward(batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        result = run({name: np.asarray(batch[name], np.int32) for name in inputs})
        return tuple(np.asarray(result[name], np.float32) for name in outputs)

    return forward


def _in_few_shapes(run: Callable, outputs: Sequence[str], longest: int) -> Callable:
    """Rounds rows up to a power of two, tokens to a multiple of 32; nobody attends to what is added."""

    def padded(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        rows, tokens = next(iter(batch.values())).shape
        more_tokens = max(0, min(-tokens % 32, longest - tokens))
        more = ((0, (1 << (rows - 1).bit_length()) - rows), (0, more_tokens))
        result = run({name: np.pad(array, more) for name, array in batch.items()})
        per_token = ("start_logits", "end_logits")
        own = {name: (slice(rows), slice(tokens)) if name in per_token else slice(rows) for name in outputs}
        return {name: result[name][own[name]] for name in outputs}

    return padded


def _traced(model: keras.Model, inputs: Sequence[str]) -> Callable:
    import tensorflow as tf

    signature = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in inputs}
    run = tf.function(lambda batch: model(batch), input_signature=[signature], autograph=False)
    run.get_concrete_function()  # traces now, so that the first batch is as fast as the next
    return run
