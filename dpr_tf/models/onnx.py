"""An encoder in ONNX Runtime, for one text at a time on a processor.

Of a short text most of the time goes into reading weights from memory. ONNX Runtime's products compute while
they read, TensorFlow's do one after the other: a question to BERT-base takes it two thirds of the time. They
take 16 columns of the right matrix at a time with AVX-512, and 12 rows of the left: here tokens are columns
and weights rows, so that weights are read once for up to 16 tokens, and in the order in which they lie.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from dpr_tf.models import inputs
from dpr_tf.models.dpr import TFDPRContextEncoder, TFDPRQuestionEncoder

_OPSET, _FORMAT = 20, 9  # the first with GELU, and the version of the file format that goes with it
_GELU, _TANH_GELU = ("Gelu", {"approximate": "none"}), ("Gelu", {"approximate": "tanh"})
_ACTIVATIONS: dict[str, tuple[str, dict[str, str]]] = {  # `hidden_act` of config.json -> ONNX's operation
    "gelu": _GELU,
    "gelu_accurate": _TANH_GELU,
    "gelu_fast": _TANH_GELU,
    "gelu_new": _TANH_GELU,
    "gelu_python": _GELU,
    "gelu_pytorch_tanh": _TANH_GELU,
    "mish": ("Mish", {}),
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class OnnxEncoder:
    """An encoder with the weights it has now, computed by ONNX Runtime; a `Retriever` takes it as its own.

    It does not follow the model's weights: make another one after training. Vectors differ from the model's
    by rounding. It takes the weights' memory once more. Batches of many texts take longer than in TensorFlow.

    Args:
        model: a TFDPRQuestionEncoder or TFDPRContextEncoder in float32.
        threads: how many cores to use; default: all that this process may use.

    Attributes:
        config: the model's DPRConfig.

    Raises:
        ImportError: if ONNX Runtime is not installed.
        ValueError: if the model is none of these, has LoRA adapters, products in int8, relative positions, or
            an activation that ONNX has not.
    """

    def __init__(self, model: Any, threads: int | None = None) -> None:
        _check(model)
        self.config = model.config
        self._output = model.output_class
        self._session, self._kernels = _Graph().session(model, threads or _cores())

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
        given = dict(batch)
        given.setdefault("token_type_ids", np.zeros_like(batch["input_ids"]))
        values = {name: _ort_value(np.ascontiguousarray(array)) for name, array in given.items()}
        (vectors,) = self._session.run_with_ort_values(None, {**self._kernels, **values})
        return self._output(pooler_output=vectors.numpy())


def _check(model: Any) -> None:
    """Refuses models whose vectors the graph would not compute."""
    if not isinstance(model, (TFDPRQuestionEncoder, TFDPRContextEncoder)):
        raise ValueError(
            "OnnxEncoder takes a TFDPRQuestionEncoder or TFDPRContextEncoder, loaded by from_pretrained; "
            f"got {type(model).__name__}"
        )
    config = model.config
    if config.position_embedding_type != "absolute":
        raise ValueError(
            "OnnxEncoder computes absolute positions, found "
            f"position_embedding_type={config.position_embedding_type!r}: use the model itself"
        )
    if config.hidden_act not in _ACTIVATIONS:
        raise ValueError(
            f"OnnxEncoder knows the activations {', '.join(_ACTIVATIONS)}, found "
            f"hidden_act={config.hidden_act!r}: use the model itself"
        )
    if model.compute_dtype != "float32":
        raise ValueError(
            f"OnnxEncoder computes in float32, found a model in {model.compute_dtype}: load it without dtype"
        )
    changed = any(
        getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
        for layer in model._flatten_layers()
    )
    blocks = model.bert_model.encoder.layer
    if changed or not all(isinstance(block.intermediate, keras.layers.Dense) for block in blocks):
        raise ValueError(
            "OnnxEncoder takes plain weights, found LoRA adapters or products in int8: "
            "save_pretrained writes adapters into plain weights; load these"
        )


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _values(variable: keras.Variable) -> np.ndarray:
    """A variable's values, for ONNX Runtime to copy; on TensorFlow the memory itself."""
    if keras.config.backend() == "tensorflow":
        return np.asarray(memoryview(variable.value.read_value()))
    return keras.ops.convert_to_numpy(variable)


def _ort_value(array: np.ndarray) -> Any:
    """An array for ONNX Runtime: its memory, not a copy."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(array)


class _Graph:
    """An ONNX graph in the making. Names of its values are str; numbers and Keras variables are constants."""

    def __init__(self) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ImportError('OnnxEncoder needs ONNX Runtime: pip install "dpr_tf[onnx]"') from error
        self._onnx, self._runtime = onnx, onnxruntime
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._weights: dict[str, np.ndarray] = {}
        self._kernels: dict[str, np.ndarray] = {}  # [units, inputs]

    def session(self, model: Any, threads: int) -> tuple[Any, dict[str, Any]]:
        """An onnxruntime.InferenceSession that computes a model's vectors, and the kernels: inputs too.

        Of weights within the graph, ONNX Runtime makes a copy.
        """
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        output = self._vectors(model)
        weights = []
        for name, array in self._weights.items():
            weight = kinds(name=name, data_type=kinds.FLOAT, dims=array.shape)
            weight.data_location = kinds.EXTERNAL  # passed on beside the graph
            weight.external_data.add(key="location", value="memory")
            weights.append(weight)
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [
                *(helper.make_tensor_value_info(name, kinds.INT32, [None, None]) for name in _INPUTS),
                *(helper.make_tensor_value_info(n, kinds.FLOAT, k.shape) for n, k in self._kernels.items()),
            ],
            [helper.make_tensor_value_info(output, kinds.FLOAT, [None, None])],
            [*self._constants, *weights],
        )
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid("com.microsoft", 1)]
        made = helper.make_model(graph, opset_imports=opsets, ir_version=_FORMAT)

        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads wait for each other busily: for at most 30 µs, and not for the next text, so that cores are
        # left to whatever else runs. An ONNX Runtime that does not know a setting passes over it.
        options.add_session_config_entry("session.intra_op.spin_duration_us", "30")
        options.add_session_config_entry("session.force_spinning_stop", "1")
        options.add_external_initializers(list(self._weights), list(map(_ort_value, self._weights.values())))
        session = self._runtime.InferenceSession(
            made.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return session, {name: _ort_value(kernel) for name, kernel in self._kernels.items()}

    def _node(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Adds an operation and gives its value's name."""
        name = f"value_{len(self._nodes)}"
        names = [self._name(value) for value in inputs]
        self._nodes.append(self._onnx.helper.make_node(kind, names, [name], **attributes))
        return name

    def _name(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, keras.Variable):
            return self._weight(value.path, _values(value))
        name = f"constant_{len(self._constants)}"
        array = np.asarray(value, np.float32 if isinstance(value, float) else np.int64)
        self._constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _weight(self, name: str, array: np.ndarray) -> str:
        self._weights[name] = array
        return name

    def _vectors(self, model: Any) -> str:
        """From the inputs to [texts, dim]. Between blocks, states are [texts * tokens, hidden]."""
        embeddings, encoder = model.bert_model.embeddings, model.bert_model.encoder
        ids, mask, types = _INPUTS
        places = self._node("Shape", ids)  # texts, tokens
        words = self._node("Gather", embeddings.word_embeddings.embeddings, ids)
        length = self._node("Shape", ids, start=1)
        positions = self._node("Slice", embeddings.position_embeddings.embeddings, [0], length)
        segments = self._node("Gather", embeddings.token_type_embeddings.embeddings, types)
        states = self._node("Add", self._node("Add", words, positions), segments)
        states = self._node("Reshape", states, [-1, model.config.hidden_size])
        norm = embeddings.LayerNorm
        states = self._node("LayerNormalization", states, norm.gamma, norm.beta, epsilon=norm.epsilon)

        attends = self._node("Cast", mask, to=self._onnx.TensorProto.FLOAT)
        ignores = self._node("Unsqueeze", self._node("Sub", 1.0, attends), [1, 2])
        scores = self._node("Mul", ignores, float(np.finfo(np.float32).min))  # [texts, 1, 1, tokens]
        for block in encoder.layer:
            states = self._block(block, states, scores, places, first_only=block is encoder.layer[-1])
        projection = model.body.encode_proj
        return states if projection is None else self._turned(self._dense(projection, states))

    def _block(self, block: Any, states: str, scores: str, places: str, first_only: bool) -> str:
        """As a `Block` computes it."""
        attention = block.attention
        size = [attention.heads, attention.head_size]
        width = attention.heads * attention.head_size

        def heads(product: str, places: str) -> str:
            """[width, texts * tokens] -> [texts, heads, width / heads, tokens]."""
            split = self._node("Concat", size, places, axis=0)
            split = self._node("Reshape", product, split, allowzero=1)
            return self._node("Transpose", split, perm=(2, 0, 1, 3))

        # Keys need no bias: it adds the same to all scores of a query. That of values is the output's too.
        key, value = (
            heads(self._product(layer, states, transB=1), places)
            for layer in (attention.key, attention.value)
        )
        if first_only:
            padded = self._node("Reshape", states, self._node("Concat", places, [width], axis=0))
            states = self._node("Gather", padded, 0, axis=1)
            places = self._node("Concat", self._node("Slice", places, [0], [1]), [1], axis=0)
        query = heads(self._dense(attention.query, states), places)
        found = self._contrib("FusedMatMul", query, key, transA=1, alpha=attention.scale)
        attends = self._node("Softmax", self._node("Add", found, scores))
        attended = self._contrib("FusedMatMul", value, attends, transB=1)
        context = self._node("Reshape", self._node("Transpose", attended, perm=(1, 2, 0, 3)), [width, -1])
        # The probabilities' sum is one, so that the bias of values comes through them as it is.
        bias = _values(attention.value.bias) @ _values(attention.output_dense.kernel)
        states = self._normalised(attention, context, states, bias)
        kind, attributes = _ACTIVATIONS[block.config.hidden_act]
        inner = self._node(kind, self._dense(block.intermediate, states), **attributes)
        return self._normalised(block, inner, states)

    def _product(self, layer: keras.layers.Dense, states: str, **attributes: int) -> str:
        """[inputs, tokens] -> [units, tokens], without the bias."""
        name = layer.kernel.path
        self._kernels[name] = np.array(_values(layer.kernel).T, order="C")  # a copy, also of a single row
        return self._contrib("FusedMatMul", name, states, **attributes)

    def _dense(self, layer: keras.layers.Dense, states: str) -> str:
        """[tokens, inputs] -> [units, tokens]."""
        bias = self._weight(layer.bias.path, _values(layer.bias)[:, None])
        return self._node("Add", self._product(layer, states, transB=1), bias)

    def _normalised(self, owner: Any, states: str, residual: str, bias: Any = 0.0) -> str:
        """The output layer of [width, tokens], a bias more, the residual and LayerNorm: [tokens, hidden]."""
        norm, layer = owner.LayerNorm, owner.output_dense
        bias = self._weight(layer.bias.path, _values(layer.bias) + np.float32(bias))
        product = self._turned(self._product(layer, states))
        weights = norm.gamma, norm.beta, bias
        return self._contrib("SkipLayerNormalization", product, residual, *weights, epsilon=norm.epsilon)

    def _turned(self, states: str) -> str:
        return self._node("Transpose", states, perm=(1, 0))

    def _contrib(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Adds an operation that ONNX Runtime has beyond ONNX's."""
        return self._node(kind, *inputs, domain="com.microsoft", **attributes)
