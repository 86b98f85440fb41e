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
    times until it has found that both vary. On other backends it is `predict_on_batch`.

    Args:
        model: one of the three models.
        inputs: names of the inputs, int [batch, tokens] each.
        outputs: names of the outputs.

    Returns:
        A function of {input name: int array} that gives the outputs, as float32 arrays in their order.
    """
    import keras  # here, so that what only names a retriever or a reader does not wait for TensorFlow

    run = _traced(model, inputs) if keras.config.backend() == "tensorflow" else model.predict_on_batch

    def forward(batch: Mapping[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        result = run({name: np.asarray(batch[name], np.int32) for name in inputs})
        return tuple(np.asarray(result[name], np.float32) for name in outputs)

    return forward


def _traced(model: keras.Model, inputs: Sequence[str]) -> Callable:
    import tensorflow as tf

    signature = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in inputs}
    run = tf.function(lambda batch: model(batch), input_signature=[signature], autograph=False)
    run.get_concrete_function()  # traces now, so that the first batch is as fast as the next
    return run
