"""What oneDNN computes faster in nodes that TensorFlow's Python has no functions for; for inference.

Products with weights that are packed once. oneDNN multiplies fastest by weights in an order of its own, and
fully uses a matrix unit, as AMX, only then. TensorFlow lets it keep weights in that order where they are
constants. Those of a Keras model are variables, packed in each call or not at all. Here nodes are made as
TensorFlow makes them, but for the word that their weight stays as it is. Who runs such a graph has to see
that it does: `models.held` tells.

For batches, LayerNorm in one pass over memory, and attention's scores, scaled and masked in their product.
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import keras

_kernels: ContextVar[list[Any] | None] = ContextVar("kernels", default=None)  # those packed, while it is on
_joins: ContextVar[bool] = ContextVar("joins", default=False)
_batches: ContextVar[bool] = ContextVar("batches", default=False)


@contextlib.contextmanager
def packing(weights_stay: bool = False) -> Iterator[list[Any]]:
    """While a graph is made: the blocks' products have weights that are packed at the first call.

    Args:
        weights_stay: whether nobody will change weights, so that those of several layers may be joined now.

    Yields:
        The kernels these products have, in their order, as they are met; none that are joined.
    """
    kernels: list[Any] = []
    tokens = _kernels.set(kernels), _joins.set(weights_stay)
    try:
        yield kernels
    finally:
        _kernels.reset(tokens[0])
        _joins.reset(tokens[1])


def packs(layer: Any, states: Any) -> bool:
    """Whether `product` is what the layer computes of these states: a plain Dense, on a matrix, uncast."""
    return (
        _kernels.get() is not None
        and isinstance(layer, keras.layers.Dense)
        and len(states.shape) == 2
        and layer.variable_dtype == keras.backend.standardize_dtype(states.dtype)
        and not layer.lora_enabled
        and layer.quantization_mode is None
    )


def product(layer: keras.layers.Dense, states: Any, fused: str = "", residual: Any = None) -> Any:
    """A Dense layer on a matrix.

    Args:
        layer: one that `packs` says yes to.
        states: [tokens, inputs], in the kernel's dtype.
        fused: TensorFlow's name of the layer's activation, where oneDNN computes it with the product.
        residual: [tokens, units] to add, to a layer without activation.

    Returns:
        [tokens, units], after the activation.
    """
    kernels = _kernels.get()
    assert kernels is not None
    kernels.append(layer.kernel.value)
    inputs = [states, layer.kernel.value, layer.bias.value]
    if residual is not None and _batches.get():  # by itself, in place, it takes half as long as within
        return _product(inputs) + residual
    if residual is not None:
        return _product([*inputs, residual], "Add")
    found = _product(inputs, fused)
    return found if fused else layer.activation(found)


def joins(layers: Sequence[Any], states: Any) -> bool:
    """Whether `joined_product` is to compute these layers of the same states."""
    return _joins.get() and all(packs(layer, states) for layer in layers)


def joined_product(layers: Sequence[keras.layers.Dense], states: Any) -> Any:
    """Dense layers without activation on one matrix, in one product of weights that are joined now.

    Args:
        layers: those that `joins` says yes to.
        states: [tokens, inputs], in the kernels' dtype.

    Returns:
        [tokens, units of all], those of the first layer first.
    """
    import tensorflow as tf

    with tf.init_scope():  # outside of the graph, and so once
        kernel = tf.concat([layer.kernel.value for layer in layers], axis=-1)
        bias = tf.concat([layer.bias.value for layer in layers], axis=-1)
    return _product([states, kernel, bias])


@contextlib.contextmanager
def for_batches() -> Iterator[None]:
    """While a graph is made: what is faster with many tokens, and slower with few, is computed so."""
    token = _batches.set(True)
    try:
        yield
    finally:
        _batches.reset(token)


def normalises(layer: keras.layers.LayerNormalization, states: Any) -> bool:
    """Whether LayerNorm of these states is to be `normalised`, which casts nothing."""
    return _batches.get() and layer.variable_dtype == keras.backend.standardize_dtype(states.dtype)


def normalised(layer: keras.layers.LayerNormalization, states: Any) -> Any:
    """LayerNorm in one node: [tokens, hidden] -> [tokens, hidden]; within, in float32."""
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    inputs = [states, layer.gamma.value, layer.beta.value]
    return _on_states("_MklLayerNorm", inputs, states.shape, epsilon=AttrValue(f=layer.epsilon))


def masks(dtype: str) -> bool:
    """Whether `masked_scores` is to compute attention's scores; on AVX2 it would take longer."""
    return _batches.get() and dtype in ("float32", "bfloat16") and _can_mask()


def masked_scores(query: Any, key: Any, scale: float, mask: Any) -> Any:
    """Attention's scores, scaled, and the mask added, in one node.

    Args:
        query: [texts, heads, queries, head].
        key: [texts, heads, keys, head].
        scale: what products are multiplied by.
        mask: [texts, 1, 1 or queries, keys].

    Returns:
        [texts, heads, queries, keys].
    """
    import tensorflow as tf
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    return _on_states(
        "_MklFusedBatchMatMulV2",
        [query, key, tf.constant(scale, query.dtype), mask],
        [*query.shape[:3], key.shape[2]],
        num_args=AttrValue(i=2),
        fused_ops=AttrValue(list=AttrValue.ListValue(s=[b"Mul", b"Add"])),
        adj_x=AttrValue(b=False),
        adj_y=AttrValue(b=True),
    )


@functools.lru_cache
def can_pack(dtype: str) -> bool:
    """Whether TensorFlow has such nodes here, in a float dtype: it tries a product.

    It has them on x86-64, unless oneDNN is off; in bfloat16 where the processor has instructions for it.
    """
    if keras.config.backend() != "tensorflow" or os.environ.get("TF_ENABLE_ONEDNN_OPTS") == "0":
        return False
    import tensorflow as tf
    from tensorflow.python.util import _pywrap_utils

    # A product that oneDNN refuses ends the process, so TensorFlow is asked before one is tried.
    supported = getattr(_pywrap_utils, "IsDataTypeSupportedByOneDNNOnThisCPU", lambda dtype: False)
    if tf.config.list_physical_devices("GPU") or not supported(tf.as_dtype(dtype)):
        return False
    return _gives(17.0, lambda ones: _product([ones, ones, ones[0]], "GeluExact"), (16, 16), dtype)


@functools.lru_cache
def _can_mask() -> bool:
    """Whether TensorFlow has the node of `masked_scores`, and the processor AVX-512, as for bfloat16."""
    return can_pack("bfloat16") and _gives(
        9.0, lambda ones: masked_scores(ones, ones, 0.5, ones[:, :1, :1]), (2, 2, 16, 16), "float32"
    )


def _gives(number: float, function: Callable[[Any], Any], shape: tuple[int, ...], dtype: str) -> bool:
    """Whether TensorFlow has the nodes of a function, and of ones it gives this number; in a graph apart."""
    import tensorflow as tf

    with tf.init_scope():
        try:
            found = tf.function(function, autograph=False)(tf.ones(shape, dtype))
        except (tf.errors.OpError, ValueError):  # no such node, or no kernel for it
            return False
        return bool(tf.reduce_all(found == number))


def _product(inputs: list[Any], fused: str = "") -> Any:
    """States times kernel plus bias; then an activation, or the addition of a fourth input, fused with it."""
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    names = [name.encode() for name in ("BiasAdd", fused) if name]
    return _on_states(
        "_MklNativeFusedMatMul",
        inputs,
        [inputs[0].shape[0], inputs[1].shape[1]],
        num_args=AttrValue(i=len(inputs) - 2),
        fused_ops=AttrValue(list=AttrValue.ListValue(s=names)),
        is_filter_const=AttrValue(b=True),
        _kernel=AttrValue(s=b"MklNameChangeOp"),  # the label its kernel is registered under
    )


def _on_states(kind: str, inputs: list[Any], shape: Any, **attributes: Any) -> Any:
    """A node of which all inputs, and what it gives, have one dtype."""
    import tensorflow as tf
    from tensorflow.core.framework.attr_value_pb2 import AttrValue

    inputs = [tf.convert_to_tensor(value) for value in inputs]
    dtype = inputs[0].dtype
    return node(kind, inputs, dtype, shape, T=AttrValue(type=dtype.as_datatype_enum), **attributes)


def node(kind: str, inputs: list[Any], dtype: Any, shape: Any, **attributes: Any) -> Any:
    """A node that TensorFlow's graph rewriting makes, and its Python has no function for; in a graph.

    Args:
        kind: TensorFlow's name of the operation.
        inputs: tensors.
        dtype, shape: of the tensor it gives.
        **attributes: an AttrValue each.
    """
    import tensorflow as tf

    graph = tf.compat.v1.get_default_graph()
    (found,) = graph.create_op(kind, inputs, [dtype], attrs=attributes, name=kind.strip("_")).outputs
    found.set_shape(shape)
    return found
