"""Runs a model on batches of any size and length without compiling it anew for each."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

    from dpr_tf.models.onnx import OnnxEncoder

Batch = Mapping[str, np.ndarray]
Run = Callable[[dict[str, np.ndarray]], Mapping[str, Any]]

_PER_TOKEN = ("start_logits", "end_logits")  # outputs [batch, tokens]; the others begin with the batch
_FEW = 64  # tokens of one text up to which packed weights are faster in float32
_TEXTS = 16  # single texts before weights are packed for them: it takes seconds, and their memory once more


class Forward:
    """A compiled forward pass, as `compile_forward` makes it.

    Attributes:
        inputs: names of the inputs, int [batch, tokens] each.
        outputs: names of the outputs.
    """

    def __init__(
        self,
        run: Run,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        pads: int | None = None,
        threads: bool = False,
    ) -> None:
        self.inputs, self.outputs = inputs, outputs
        self._run, self._pads, self._threads = run, pads, threads

    def __call__(self, batch: Batch) -> tuple[np.ndarray, ...]:
        """Computes the outputs of a batch, as float32 arrays in their order."""
        given, shape = self._given(batch)
        return self._fetch(self._run(given), shape)

    def each(self, batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, ...]]:
        """Computes the outputs of each batch, in order; the next is started before the last has ended.

        A processor computes two at once, so that one uses the cores while the other waits for memory.
        """
        with ThreadPoolExecutor(2) if self._threads else nullcontext() as pool:
            waiting = None
            for batch in batches:
                given, shape = self._given(batch)
                started = pool.submit(self._run, given) if pool else self._run(given)
                if waiting is not None:
                    yield self._fetch(*waiting)
                waiting = started, shape
            if waiting is not None:
                yield self._fetch(*waiting)

    def _given(self, batch: Batch) -> tuple[dict[str, np.ndarray], tuple[int, int]]:
        """What the model gets, and the batch's own shape."""
        given = {name: np.asarray(batch[name], np.int32) for name in self.inputs}
        shape = next(iter(given.values())).shape
        return (given if self._pads is None else few_shapes(given, self._pads)), shape

    def _fetch(self, result: Any, shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
        result = result.result() if isinstance(result, Future) else result
        texts, tokens = slice(shape[0]), slice(shape[1])
        own = {name: (texts, tokens) if name in _PER_TOKEN else texts for name in self.outputs}
        return tuple(np.asarray(result[name], np.float32)[own[name]] for name in self.outputs)


def compile_forward(
    model: keras.Model | OnnxEncoder,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    single_texts: bool = False,
) -> Forward:
    """Makes a compiled forward pass, without dropout.

    On TensorFlow it is traced once for all batch sizes and lengths; `predict_on_batch` would trace three
    times until it has found that both vary. On PyTorch it is `predict_on_batch`. JAX compiles for each shape
    anew: there batches are padded, so that few shapes occur.

    The model's weights may change between calls, as training changes them.

    Args:
        model: one of the three models, or an OnnxEncoder, which is compiled already.
        inputs: names of the inputs, int [batch, tokens] each.
        outputs: names of the outputs.
        single_texts: whether single texts will come often, as questions do. In float32 the first ones then
            may differ from later ones in the last bits: weights are packed for the latter.
    """
    import keras  # here, so that what only names a retriever or a reader does not wait for TensorFlow

    from dpr_tf.models.onnx import OnnxEncoder

    if isinstance(model, OnnxEncoder):
        return Forward(model, inputs, outputs)
    if keras.config.backend() == "tensorflow":
        return Forward(_OnTensorFlow(model, inputs, single_texts), inputs, outputs, threads=True)
    if keras.config.backend() == "jax":
        return Forward(_on_jax(model, outputs), inputs, outputs, pads=model.config.max_position_embeddings)
    return Forward(model.predict_on_batch, inputs, outputs)


class _OnTensorFlow:
    """A traced forward pass, and a second one with packed weights for what is faster with them.

    That is everything in bfloat16, and in float32 single short texts, if many are expected: half of their
    time goes into weights.
    Packed weights do not follow the model's: each result brings samples of these, and once they have changed,
    it is thrown away and nothing is packed any more.
    """

    def __init__(self, model: keras.Model, inputs: Sequence[str], single_texts: bool) -> None:
        from dpr_tf.models.packed import can_pack

        self._model, self._inputs = model, inputs
        self._dtype = getattr(model, "variable_dtype", "")
        wanted = self._dtype == "bfloat16" or (single_texts and self._dtype == "float32")
        self._packs = wanted and can_pack(self._dtype)
        self._single_texts = 0
        self._plain: Callable | None = None
        self._packed: Callable | None = None
        self._weights: np.ndarray | None = None
        self._lock = threading.Lock()  # of what is above; batches are computed outside of it
        if self._packs and self._dtype == "bfloat16":
            self._packed = self._traced(packed=True)
        else:  # traces now, so that the first batch is as fast as the next
            self._plain = self._traced()

    def __call__(self, batch: Batch) -> Mapping[str, Any]:
        with self._lock:
            packed = None
            if self._packs and self._wants_packed(*next(iter(batch.values())).shape):
                packed = self._packed = self._packed or self._traced(packed=True)
        if packed is not None:
            result, weights = packed(batch)
            if self._still(weights.numpy()):
                return result
        with self._lock:
            self._plain = self._plain or self._traced()
        return self._plain(batch)

    def _still(self, weights: np.ndarray) -> bool:
        """Whether samples of the weights are those of the first time; if not, nothing is packed any more."""
        with self._lock:
            self._weights = weights if self._weights is None else self._weights
            if not np.array_equal(weights, self._weights, equal_nan=True):
                self._packs, self._packed = False, None
            return self._packs

    def _wants_packed(self, texts: int, tokens: int) -> bool:
        if self._dtype == "bfloat16":
            return True
        self._single_texts += texts == 1
        return texts == 1 and tokens <= _FEW and self._single_texts > _TEXTS

    def _traced(self, packed: bool = False) -> Callable:
        import tensorflow as tf

        from dpr_tf.models.layouts import without_padding
        from dpr_tf.models.packed import packing, sampled

        @without_padding()
        def forward(batch: Any) -> Any:
            if not packed:
                return self._model(batch)
            with packing() as kernels:
                return self._model(batch), sampled(kernels)

        signature = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in self._inputs}
        run = tf.function(forward, input_signature=[signature], autograph=False)
        run.get_concrete_function()
        return run


def _on_jax(model: keras.Model, outputs: Sequence[str]) -> Callable:
    """The model, compiled to compute these outputs alone; `predict_on_batch` takes 1.3 times as long."""
    import jax
    import keras

    if keras.distribution.distribution() is not None:
        return model.predict_on_batch  # which puts each part of a batch where it belongs

    def compute(trainable: list, other: list, batch: dict) -> dict:
        result, _ = model.stateless_call(trainable, other, batch, training=False)
        return {name: result[name] for name in outputs}

    # Kept with the model, as Keras keeps what `predict` compiles; not by setattr, which looks for layers.
    run = model.__dict__.setdefault("_compiled_forward", {}).setdefault(tuple(outputs), jax.jit(compute))

    def forward(batch: Batch) -> dict:
        groups = (model.trainable_variables, model.non_trainable_variables)
        return run(*([variable.value for variable in group] for group in groups), dict(batch))

    return forward


def few_shapes(batch: dict[str, np.ndarray], longest: int) -> dict[str, np.ndarray]:
    """Rounds rows up to a power of two, tokens to a multiple of 16; nobody attends to what is added.

    Args:
        batch: int arrays [rows, tokens].
        longest: how many tokens the model takes.
    """
    rows, tokens = next(iter(batch.values())).shape
    more_tokens = max(0, min(-tokens % 16, longest - tokens))
    more = ((0, (1 << (rows - 1).bit_length()) - rows), (0, more_tokens))
    return {name: np.pad(array, more) for name, array in batch.items()}
