"""Products in int8 on the CPU: for inference, on TensorFlow."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import keras
import numpy as np

from dpr_tf.models.activations import gelu
from dpr_tf.models.packed import node

_TINY = 1e-12  # keeps zeros from being divided by zero
_OF_ATTENTION = ("query", "key", "value", "output_dense")


class Int8Dense:
    """A Dense layer's product in int8, then bias, activation and residual in float32.

    A weight is a whole number times a scale of its column, states are bytes between their lowest and their
    highest. oneDNN then computes the rest in one pass; with a range for each token, which halves the error,
    it takes several.

    Args:
        layer: its kernel is rounded, in its variable too, which then holds what is computed with.
        of_tokens: whether each token has a range of its own.
    """

    def __init__(self, layer: keras.layers.Dense, of_tokens: bool = False):
        import tensorflow as tf

        kernel = np.asarray(layer.kernel, np.float32)
        scale = np.maximum(np.abs(kernel).max(axis=0), _TINY) / levels()
        whole = np.round(kernel / scale)
        layer.kernel.assign(whole * scale)
        self._layer = layer
        self._weights = _Weights(
            tf.bitcast(whole.astype(np.int8), tf.qint8),
            tf.constant(scale),
            tf.constant(whole.sum(axis=0) * scale),
        )
        self._compute = self._with_ranges_of_tokens if of_tokens else self._with_one_range
        self._traced = tf.function(self._compute, autograph=False, reduce_retracing=True)

    def __call__(self, states: Any, residual: Any = None) -> Any:
        """Computes float32 [tokens, inputs] -> [tokens, units], and adds a residual to it.

        One range for all tokens makes what a token gets depend on the others, within rounding.
        """
        import tensorflow as tf

        return (self._traced if tf.executing_eagerly() else self._compute)(states, residual)

    def _with_one_range(self, states: Any, residual: Any) -> Any:
        import tensorflow as tf

        layer = self._layer
        limits = tf.reduce_min(states), tf.reduce_max(states)
        if residual is not None:
            return _product(states, *limits, self._weights, layer.bias, "Add", residual)
        fused = "GeluExact" if layer.activation is gelu else ""
        found = _product(states, *limits, self._weights, layer.bias, fused)
        return found if fused else layer.activation(found)

    def _with_ranges_of_tokens(self, states: Any, residual: Any) -> Any:
        """Each token's numbers are divided by its largest, so that one range from -1 to 1 holds all."""
        import tensorflow as tf

        lowest, highest = (
            reduce(states, axis=-1, keepdims=True) for reduce in (tf.reduce_min, tf.reduce_max)
        )
        largest = tf.maximum(tf.maximum(highest, -lowest), _TINY)
        share = 1.0 / largest
        limits = tf.reduce_min(lowest * share), tf.reduce_max(highest * share)
        product = _product(states * share, *limits, self._weights, tf.zeros_like(self._layer.bias))
        found = self._layer.activation(product * largest + self._layer.bias)
        return found if residual is None else found + residual


def to_int8(model: Any) -> None:
    """Makes a model's blocks compute their products with weights in int8, for inference only.

    The weights are rounded in place. Embeddings, attention between tokens, normalisation and heads stay in
    float32, as do keys and values that an encoder does not compute.

    Args:
        model: one of the three models, in float32.

    Raises:
        ValueError: if this machine or backend has no such product.
    """
    check_int8()
    blocks = model.bert_model.encoder.layer
    for block in blocks:
        first_only = model.reads_first_only and block is blocks[-1]
        for name in ("query", "output_dense") if first_only else _OF_ATTENTION:
            # Keras still knows the layer; its variables stay the model's.
            setattr(block.attention, name, Int8Dense(getattr(block.attention, name)))
        block.intermediate = Int8Dense(block.intermediate)
        # What comes out of GELU has the widest ranges: one for all tokens would lose most there.
        block.output_dense = Int8Dense(block.output_dense, of_tokens=True)


def check_int8() -> None:
    """Refuses where products in int8 cannot be computed.

    Raises:
        ValueError: on another backend than TensorFlow, on a GPU, or on a processor for which TensorFlow has
            no such product.
    """
    if keras.config.backend() != "tensorflow":
        raise ValueError(
            f"precision='int8' needs Keras on TensorFlow, found {keras.config.backend()}: use 'bfloat16'"
        )
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        raise ValueError("precision='int8' is for processors, found a GPU: use 'bfloat16'")
    try:
        exact = bool(np.all(_tried(1) == 255 * 64))
    except (tf.errors.OpError, ValueError):  # no such node, or no kernel for it
        exact = False
    if not exact:
        raise ValueError(
            "precision='int8': TensorFlow has no products of bytes for this processor; use 'float32'"
        )


@functools.lru_cache
def levels() -> int:
    """The largest whole number of a weight: 127 where sums have 32 bits, as with VNNI.

    Elsewhere 16 bits hold the sum of two products: 2 * 255 * 63 fits.
    """
    return 127 if np.all(_tried(127) == 255 * 127 * 64) else 63


def _tried(weight: int) -> np.ndarray:
    """A product of the largest bytes with such weights."""
    import tensorflow as tf

    kernel = tf.bitcast(np.full((64, 1), weight, np.int8), tf.qint8)
    weights = _Weights(kernel, scale=tf.ones(1), sums=tf.fill((1,), 64.0 * weight))
    arguments = tf.fill((2, 64), 255.0), 0.0, 255.0, weights, tf.zeros(1)
    return tf.function(lambda: _product(*arguments), autograph=False)().numpy()


class _Weights(NamedTuple):
    """A kernel in int8.

    Attributes:
        kernel: qint8 [inputs, units].
        scale: float32 [units], what a whole number of each column stands for.
        sums: float32 [units], of each column.
    """

    kernel: Any
    scale: Any
    sums: Any


def _product(
    states: Any,
    lowest: Any,
    highest: Any,
    weights: _Weights,
    bias: Any,
    fused: str = "",
    residual: Any = None,
) -> Any:
    """Float32 [tokens, inputs] between two limits, as bytes, times a kernel; in a graph.

    Args:
        states: what to multiply.
        lowest, highest: float32 scalars.
        weights: the kernel.
        bias: float32 [units].
        fused: "GeluExact", or "Add" with a residual, float32 [tokens, units].
    """
    import tensorflow as tf
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    def types(values: list[Any]) -> AttrValue:
        return AttrValue(list=AttrValue.ListValue(type=[value.dtype.as_datatype_enum for value in values]))

    # A range of which 0 is a byte: without oneDNN, TensorFlow rounds where the bytes begin.
    lowest, highest = tf.minimum(lowest, 0.0), tf.maximum(highest, 0.0)
    step = tf.maximum(highest - lowest, _TINY) / 255
    lowest = tf.round(lowest / step) * step
    quantized, _, _ = tf.raw_ops.QuantizeV2(
        input=states,
        min_range=lowest,
        max_range=lowest + 255 * step,
        T=tf.quint8,
        mode="MIN_FIRST",
        ensure_minimum_range=_TINY,
    )
    # The product takes the bytes to begin at 0: what they begin at, times each column, goes into the bias.
    bias = bias + lowest * weights.sums
    inputs = [quantized, weights.kernel, bias, *([] if residual is None else [residual])]
    ranges = [tf.zeros_like(step), 255 * step, -127.0 * weights.scale, 127.0 * weights.scale]
    names = [name.encode() for name in ("BiasAdd", fused, "Dequantize") if name]
    dtypes = {"T1": tf.quint8, "T2": tf.qint8, "Tbias": tf.float32, "U": tf.float32, "Tout": tf.float32}
    return node(
        "_QuantizedMatMul",
        [*inputs, *ranges],
        tf.float32,
        [states.shape[0], weights.kernel.shape[1]],
        **{name: AttrValue(type=dtype.as_datatype_enum) for name, dtype in dtypes.items()},
        Tdevice_inputs=types(inputs),
        Thost_inputs=types(ranges),
        Tdevice_outputs=types([bias]),
        Thost_outputs=types([]),
        is_weight_const=AttrValue(b=True),
        is_bias_const=AttrValue(b=False),
        fused_ops=AttrValue(list=AttrValue.ListValue(s=names)),
    )
