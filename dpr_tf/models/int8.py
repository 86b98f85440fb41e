"""Products in int8 on the CPU: for inference, on TensorFlow."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

_LEVELS = 63  # of weights: without VNNI, 16 bits hold the sum of two products; 2 * 255 * 63 fits
_TINY = 1e-12  # keeps zeros from being divided by zero
_OF_ATTENTION = ("query", "key", "value", "output_dense")
_OF_BLOCK = ("intermediate", "output_dense")


class Int8Dense:
    """A Dense layer's product in int8, then bias and activation in float32.

    A weight is an integer of 7 bits times a scale of its column, the states of a token are integers of 8 bits
    between the token's own lowest and highest: half the error of one range for all tokens.
    """

    def __init__(self, layer: keras.layers.Dense):
        """Rounds the layer's kernel, in the layer too: its variable then holds what is computed with."""
        import tensorflow as tf

        kernel = np.asarray(layer.kernel, np.float32)
        scale = np.maximum(np.abs(kernel).max(axis=0), _TINY) / _LEVELS
        whole = np.round(kernel / scale)
        layer.kernel.assign(whole * scale)
        self._layer = layer
        self._kernel = tf.bitcast(whole.astype(np.int8), tf.qint8)
        self._scale = tf.constant(scale)
        self._sums = tf.constant(whole.sum(axis=0) * scale)

    def __call__(self, states: Any) -> Any:
        """Computes float32 [tokens, inputs] -> [tokens, units]."""
        import tensorflow as tf

        lowest = tf.reduce_min(states, axis=-1, keepdims=True)
        span = tf.reduce_max(states, axis=-1, keepdims=True) - lowest + _TINY
        product = _product((states - lowest) / span, self._kernel)
        return self._layer.activation(product * self._scale * span + (lowest * self._sums + self._layer.bias))


def to_int8(model: Any) -> None:
    """Makes a model's blocks compute their products with weights in int8, for inference only.

    The weights are rounded in place. Embeddings, attention between tokens, normalisation and heads stay in
    float32.

    Args:
        model: one of the three models, in float32.

    Raises:
        ValueError: if this machine or backend has no such product.
    """
    check_int8()
    for block in model.bert_model.encoder.layer:
        for owner, names in ((block.attention, _OF_ATTENTION), (block, _OF_BLOCK)):
            for name in names:  # Keras still knows the layer; its variables stay the model's
                setattr(owner, name, Int8Dense(getattr(owner, name)))


def check_int8() -> None:
    """Refuses where products in int8 cannot be computed.

    Raises:
        ValueError: on another backend than TensorFlow, on a GPU, without oneDNN, or on a processor for which
            TensorFlow has no such product.
    """
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            f"precision='int8' needs Keras on TensorFlow, found {keras.config.backend()}: use 'bfloat16'"
        )
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        raise ValueError("precision='int8' is for processors, found a GPU: use 'bfloat16'")
    try:
        product = _product(tf.ones((1, 1)), tf.bitcast(np.ones((1, 1), np.int8), tf.qint8))
    except (tf.errors.NotFoundError, tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        raise ValueError(
            "precision='int8': TensorFlow has no products of bytes for this processor; use 'float32'"
        ) from error
    if product.shape != (1, 1):  # where it is off, the product does nothing
        raise ValueError(
            "precision='int8' needs oneDNN, which is off: set TF_ENABLE_ONEDNN_OPTS=1, "
            "or import dpr_tf before tensorflow"
        )


def _product(fractions: Any, kernel: Any) -> Any:
    """Float32 [tokens, inputs] between 0 and 1, as bytes, times qint8 [inputs, units]."""
    import tensorflow as tf

    quantized, low, high = tf.raw_ops.QuantizeV2(
        input=fractions, min_range=0.0, max_range=1.0, T=tf.quint8, mode="SCALED", round_mode="HALF_TO_EVEN"
    )
    return tf.raw_ops.QuantizedMatMulWithBiasAndDequantize(
        a=quantized,
        b=kernel,
        bias=tf.zeros(kernel.shape[1]),
        min_a=low,
        max_a=high,
        min_b=-127.0,
        max_b=127.0,
        min_freezed_output=0.0,
        max_freezed_output=0.0,
        Toutput=tf.float32,
        input_quant_mode="SCALED",
    )
