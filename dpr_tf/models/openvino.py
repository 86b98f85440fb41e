"""An encoder in OpenVINO, for one text at a time on a processor.

Of a short text most of the time goes into reading weights from memory. OpenVINO packs them once, in the order
in which its products read them; TensorFlow's products of many rows pack them in each call.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from dpr_tf.models import inputs
from dpr_tf.models.dpr import TFDPRContextEncoder, TFDPRQuestionEncoder

_GELU, _TANH_GELU = ("gelu", "erf"), ("gelu", "tanh")
_ACTIVATIONS = {  # `hidden_act` of config.json -> OpenVINO's operation and its arguments
    "gelu": _GELU,
    "gelu_accurate": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_new": _TANH_GELU,
    "gelu_python": _GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "mish": ("mish",),
    "relu": ("relu",),
    "sigmoid": ("sigmoid",),
    "tanh": ("tanh",),
}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OpenVINOEncoder:
    """An encoder with the weights it has now, computed by OpenVINO; a `Retriever` takes it as its own.

    It does not follow the model's weights: make another one after training. Vectors differ from the model's
    by rounding. It takes the weights' memory once more. Batches of many texts take longer than in TensorFlow.

    Args:
        model: a TFDPRQuestionEncoder or TFDPRContextEncoder in float32.
        threads: how many cores to use; default: all that this process may use.

    Attributes:
        config: the model's DPRConfig.

    Raises:
        ImportError: if OpenVINO is not installed.
        ValueError: if the model is none of these, has LoRA adapters, products in int8, relative positions, or
            an activation that OpenVINO has not.
    """

    def __init__(self, model: Any, threads: int | None = None) -> None:
        _check(model)
        self.config = model.config
        self._output = model.output_class
        graph = _Graph()
        self._request = graph.request(model, threads or _cores())
        self._held = graph.held
        self._lock = threading.Lock()  # a request computes one batch at a time, on all its threads

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Computes vectors.

        Args:
            *args, **kwargs: `input_ids`, int [texts, tokens]; `attention_mask`, 1 to attend and 0 to ignore,
                by default what is not padding; `token_type_ids`, by default zeros. In every form that the
                model takes.

        Returns:
            The model's output record with `pooler_output`, a NumPy array, float32 [texts, dim].

        Raises:
            ValueError: for another shape or type, more tokens than positions, or ids out of their range.
        """
        given = inputs.prepare(_INPUTS, self.config.pad_token_id, args, kwargs)
        if "input_ids" not in given:
            raise ValueError(f"You have to specify input_ids, got {sorted(given)}.")
        ids = np.asarray(given["input_ids"])
        if ids.ndim != 2 or not ids.shape[1]:
            raise ValueError(f"input_ids must be [texts, tokens], got the shape {ids.shape}.")
        if ids.shape[1] > (limit := self.config.max_position_embeddings):
            raise ValueError(
                f"The inputs are {ids.shape[1]} tokens long; this model takes at most {limit} "
                "(max_position_embeddings): truncate."
            )
        defaults = (ids, ids != self.config.pad_token_id, np.zeros_like(ids))
        arrays = {
            name: np.asarray(given.get(name, default), np.int32)
            for name, default in zip(_INPUTS, defaults, strict=True)
        }
        for name, array in arrays.items():
            if array.shape != ids.shape:
                raise ValueError(f"{name} must be {ids.shape} like input_ids, got the shape {array.shape}.")
        for name, limit in (("input_ids", "vocab_size"), ("token_type_ids", "type_vocab_size")):
            most, found = getattr(self.config, limit) - 1, arrays[name]
            if found.size and not 0 <= found.min() <= found.max() <= most:
                raise ValueError(
                    f"{name} must be from 0 to {most} ({limit}), found {found.min()} to {found.max()}: "
                    "take the tokenizer of this model."
                )
        return self.compute(arrays)

    def compute(self, batch: Mapping[str, np.ndarray]) -> Any:
        """Computes vectors of what need not be checked.

        Args:
            batch: `input_ids`, `attention_mask` and, by default zeros, `token_type_ids`: int32
                [texts, tokens].

        Returns:
            As a call.
        """
        ids = batch["input_ids"]
        types = batch.get("token_type_ids")
        given = ids, batch["attention_mask"], np.zeros_like(ids) if types is None else types
        with self._lock:
            (vectors,) = self._request.infer(given).values()
        return self._output(pooler_output=vectors)


def _check(model: Any) -> None:
    """Refuses models whose vectors the graph would not compute."""
    if not isinstance(model, (TFDPRQuestionEncoder, TFDPRContextEncoder)):
        raise ValueError(
            "OpenVINOEncoder takes a TFDPRQuestionEncoder or TFDPRContextEncoder, loaded by from_pretrained; "
            f"got {type(model).__name__}"
        )
    config = model.config
    if config.position_embedding_type != "absolute":
        raise ValueError(
            "OpenVINOEncoder computes absolute positions, found "
            f"position_embedding_type={config.position_embedding_type!r}: use the model itself"
        )
    if config.hidden_act not in _ACTIVATIONS:
        raise ValueError(
            f"OpenVINOEncoder knows the activations {', '.join(_ACTIVATIONS)}, found "
            f"hidden_act={config.hidden_act!r}: use the model itself"
        )
    if model.compute_dtype != "float32":
        raise ValueError(
            "OpenVINOEncoder computes in float32, found a model in "
            f"{model.compute_dtype}: load it without dtype"
        )
    changed = any(
        getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
        for layer in model._flatten_layers()
    )
    blocks = model.bert_model.encoder.layer
    if changed or not all(isinstance(block.intermediate, keras.layers.Dense) for block in blocks):
        raise ValueError(
            "OpenVINOEncoder takes plain weights, found LoRA adapters or products in int8: "
            "save_pretrained writes adapters into plain weights; load these"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _import_openvino() -> Any:
    """OpenVINO, without the report over the internet that its import would send."""
    reports = "openvino_telemetry"
    loaded = reports in sys.modules
    if not loaded:
        sys.modules[reports] = None  # type: ignore[assignment]  # OpenVINO goes on without it
    try:
        import openvino
    finally:
        if not loaded:
            del sys.modules[reports]
    return openvino


class _Graph:
    """An encoder's computation in OpenVINO's operations."""

    def __init__(self) -> None:
        try:
            self._openvino = _import_openvino()
        except ImportError as error:
            raise ImportError('OpenVINOEncoder needs OpenVINO: pip install "dpr_tf[openvino]"') from error
        self._ops = self._openvino.opset13
        self.held: list[np.ndarray] = []  # what must live as long as what was made of the graph

    def request(self, model: Any, threads: int) -> Any:
        """An openvino.InferRequest that computes a model's vectors."""
        parameters = [self._ops.parameter([-1, -1], np.int32, name=name) for name in _INPUTS]
        graph = self._openvino.Model([self._vectors(model, *parameters)], parameters)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",  # else bfloat16 where the processor has it
        }
        return self._openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()

    def _constant(self, variable: keras.Variable) -> Any:
        """A variable's values, which stay; on TensorFlow its memory, else a copy."""
        if keras.config.backend() != "tensorflow":
            return self._ops.constant(keras.ops.convert_to_numpy(variable))
        # TensorFlow writes there only while nobody else holds it. OpenVINO does not write, but wants memory
        # into which it might.
        values = np.asarray(memoryview(variable.value.read_value()))
        self.held.append(values)
        memory = memoryview((ctypes.c_char * values.nbytes).from_address(values.ctypes.data))
        return self._ops.constant(np.ndarray(values.shape, values.dtype, memory), shared_memory=True)

    def _float(self, value: float) -> Any:
        return self._ops.constant(value, np.float32)

    def _integers(self, *values: int) -> Any:
        return self._ops.constant(np.array(values, np.int64))

    def _vectors(self, model: Any, ids: Any, mask: Any, types: Any) -> Any:
        """From the inputs, [texts, tokens], to [texts, dim]."""
        ops, embeddings = self._ops, model.bert_model.embeddings
        first = self._integers(0)
        words, segments, positions = (
            self._constant(getattr(embeddings, f"{name}_embeddings").embeddings)
            for name in ("word", "token_type", "position")
        )
        words, segments = ops.gather(words, ids, first), ops.gather(segments, types, first)
        length = ops.gather(ops.shape_of(ids), self._integers(1), first)
        positions = ops.slice(positions, first, length, self._integers(1), first)
        states = self._normalised(embeddings, words + positions + segments)
        ignored = self._float(1) - ops.convert(mask, "f32")
        scores = ops.unsqueeze(ignored * self._float(np.finfo(np.float32).min), self._integers(1, 2))
        blocks = model.bert_model.encoder.layer
        for block in blocks:  # scores: [texts, 1, 1, tokens]
            states = self._block(block, states, scores, first_only=block is blocks[-1])
        vectors = ops.squeeze(states, self._integers(1))
        projection = model.body.encode_proj
        return vectors if projection is None else self._dense(projection, vectors)

    def _block(self, block: Any, states: Any, scores: Any, first_only: bool) -> Any:
        """As a `Block` computes it: [texts, tokens, hidden] -> the same, or [texts, 1, hidden]."""
        ops, attention = self._ops, block.attention
        width = attention.heads * attention.head_size
        order = self._integers(0, 2, 1, 3)
        split = self._integers(0, 0, attention.heads, attention.head_size)

        def heads(layer: Any, states: Any) -> Any:
            """[texts, tokens, hidden] -> [texts, heads, tokens, hidden / heads]."""
            return ops.transpose(ops.reshape(self._dense(layer, states), split, True), order)

        key, value = heads(attention.key, states), heads(attention.value, states)
        if first_only:
            first, second = self._integers(0), self._integers(1)
            states = ops.slice(states, first, second, second, second)
        query = heads(attention.query, states) * self._float(attention.scale)
        attends = ops.softmax(ops.matmul(query, key, False, True) + scores, -1)
        context = ops.transpose(ops.matmul(attends, value, False, False), order)
        context = ops.reshape(context, self._integers(0, 0, width), True)
        states = self._normalised(attention, self._dense(attention.output_dense, context) + states)
        kind, *arguments = _ACTIVATIONS[block.config.hidden_act]
        inner = getattr(ops, kind)(self._dense(block.intermediate, states), *arguments)
        return self._normalised(block, self._dense(block.output_dense, inner) + states)

    def _dense(self, layer: keras.layers.Dense, states: Any) -> Any:
        product = self._ops.matmul(states, self._constant(layer.kernel), False, False)
        return product + self._constant(layer.bias)

    def _normalised(self, owner: Any, states: Any) -> Any:
        norm = owner.LayerNorm
        whitened = self._ops.mvn(states, self._integers(-1), True, norm.epsilon, "inside_sqrt")
        return whitened * self._constant(norm.gamma) + self._constant(norm.beta)
