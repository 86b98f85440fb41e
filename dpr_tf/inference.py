"""Runs a model on batches of any size and length without compiling it anew for each."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

    from dpr_tf.models.held import HeldWeights
    from dpr_tf.models.openvino import OpenVINOEncoder

logger = logging.getLogger(__name__)

Batch = Mapping[str, np.ndarray]
Run = Callable[[dict[str, np.ndarray]], Mapping[str, Any]]

_PER_TOKEN = ("start_logits", "end_logits")  # outputs [batch, tokens]; the others begin with the batch
_AT_ONCE = 3  # batches that a processor has under way
_FEW = 64  # tokens of one text up to which weights that stay as they are make it faster in float32
_TEXTS = 16  # single texts before that is prepared: it takes seconds, and the weights' memory once more


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

        A processor has three under way, so that some use the cores while others wait for memory; and a fourth
        is ready, so that none waits for the caller.
        """
        with ThreadPoolExecutor(_AT_ONCE) if self._threads else nullcontext() as pool:
            under_way: deque[tuple[Any, tuple[int, int]]] = deque()
            for batch in batches:
                given, shape = self._given(batch)
                under_way.append((pool.submit(self._run, given) if pool else self._run(given), shape))
                if len(under_way) > (_AT_ONCE if pool else 1):
                    yield self._fetch(*under_way.popleft())
            while under_way:
                yield self._fetch(*under_way.popleft())

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
    model: keras.Model | OpenVINOEncoder,
    inputs: Sequence[str],
    outputs: Sequence[str],
    *,
    single_texts: bool = False,
    weights_stay: bool = False,
) -> Forward:
    """Makes a compiled forward pass, without dropout.

    On TensorFlow it is traced once for all batch sizes and lengths; `predict_on_batch` would trace three
    times until it has found that both vary. On PyTorch it is `predict_on_batch`. JAX compiles for each shape
    anew: there batches are padded, so that few shapes occur.

    The model's weights may change between calls, as training changes them; its layers may not, as LoRA
    changes them.

    Args:
        model: one of the three models, or an OpenVINOEncoder, which is compiled already.
        inputs: names of the inputs, int [batch, tokens] each.
        outputs: names of the outputs.
        single_texts: whether single texts will come often, as questions do. In float32 the first ones then
            may differ from later ones in the last bits: for these, TensorFlow packs the weights, or OpenVINO
            computes them where it is installed. Then the weights take their memory once more.
        weights_stay: whether nobody will change the model's weights: then nobody looks whether they did, and
            without `single_texts` TensorFlow packs them for batches in float32 too, on AVX-512.
    """
    import keras  # here, so that what only names a retriever or a reader does not wait for TensorFlow

    from dpr_tf.models.openvino import OpenVINOEncoder

    if isinstance(model, OpenVINOEncoder):
        return Forward(model, inputs, outputs)
    if keras.config.backend() == "tensorflow":
        run = _OnTensorFlow(model, inputs, single_texts, weights_stay)
        return Forward(run, inputs, outputs, threads=True)
    if keras.config.backend() == "jax":
        return Forward(_on_jax(model, outputs), inputs, outputs, pads=model.config.max_position_embeddings)
    return Forward(model.predict_on_batch, inputs, outputs)


class _OnTensorFlow:
    """A traced forward pass, and a faster one of the weights as they were when it was made.

    The latter is for everything in bfloat16, with packed weights; and in float32 for single short texts, if
    many are expected: half of their time goes into weights. OpenVINO computes these, where it is
    installed and knows the model. Where weights stay as they are, AVX-512 computes batches in float32 with
    packed ones from the beginning.
    Once a weight has changed, what was computed of the old ones is thrown away, and so is the faster pass.
    """

    def __init__(
        self, model: keras.Model, inputs: Sequence[str], single_texts: bool, weights_stay: bool
    ) -> None:
        from dpr_tf.models.packed import can_pack, packing

        self._model, self._inputs, self._weights_stay = model, inputs, weights_stay
        self._dtype = getattr(model, "variable_dtype", "")
        self._has_nodes = self._dtype in ("float32", "bfloat16") and can_pack(self._dtype)
        self._may_be_fast = self._has_nodes and (single_texts or self._dtype == "bfloat16")
        # Where bfloat16 has nodes, there is AVX-512. With AVX2, oneDNN's products of packed weights take up
        # to 1.2 times as long for batches as those that pack meanwhile.
        packs = self._has_nodes and weights_stay and not self._may_be_fast and can_pack("bfloat16")
        self._single_texts = 0
        self._plain: Callable | None = None
        self._fast: Callable | None = None
        self._held: HeldWeights | None = None
        self._lock = threading.Lock()  # of what is above; batches are computed outside of it
        self._beside = ThreadPoolExecutor(1)
        if self._may_be_fast and self._dtype == "bfloat16":
            self._make_fast()
        else:  # traces now, so that the first batch is as fast as the next
            with packing(weights_stay=True) if packs else nullcontext():
                self._plain = self._traced()

    def __call__(self, batch: Batch) -> Mapping[str, Any]:
        with self._lock:
            fast = None
            if self._may_be_fast and self._wants_fast(*next(iter(batch.values())).shape):
                fast = self._fast or self._make_fast()
        if fast is not None and self._weights_stay:
            return fast(batch)
        if fast is not None:
            still = self._beside.submit(self._still)  # beside: one core is idle for some of the time
            result = fast(batch)
            if still.result():
                return result
        with self._lock:
            self._plain = self._plain or self._traced()
        return self._plain(batch)

    def _still(self) -> bool:
        """Whether weights are those of the faster pass; if not, there is none any more."""
        with self._lock:
            if self._held is not None and not self._held.unchanged():
                self._may_be_fast, self._fast, self._held = False, None, None
            return self._may_be_fast

    def _wants_fast(self, texts: int, tokens: int) -> bool:
        if self._dtype == "bfloat16":
            return True
        self._single_texts += texts == 1
        return texts == 1 and tokens <= _FEW and self._single_texts > _TEXTS

    def _make_fast(self) -> Callable:
        from dpr_tf.models.held import HeldWeights
        from dpr_tf.models.packed import packing

        if made := self._dtype == "float32" and _by_openvino(self._model):
            self._fast, self._held = made
        else:
            with packing(self._weights_stay) as kernels:
                self._fast = self._traced(for_batches=self._dtype == "bfloat16")
            # Nothing is packed before the first batch; and nothing at all if weights are cast or in int8.
            self._held = HeldWeights(kernels) if kernels else None
        return self._fast

    def _traced(self, for_batches: bool = True) -> Callable:
        import tensorflow as tf

        from dpr_tf.models import packed
        from dpr_tf.models.layouts import without_padding

        signature = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in self._inputs}
        forward = without_padding()(lambda batch: self._model(batch))
        run = tf.function(forward, input_signature=[signature], autograph=False)
        with packed.for_batches() if self._has_nodes and for_batches else nullcontext():
            run.get_concrete_function()
        return run


def _by_openvino(model: keras.Model) -> tuple[Callable, HeldWeights] | None:
    """The model in OpenVINO, and its weights; None if that is not installed, or knows no such model."""
    from dpr_tf.models.held import HeldWeights
    from dpr_tf.models.openvino import OpenVINOEncoder

    held = HeldWeights(weight.value for weight in model.weights)
    if not held.unchanged():
        return None
    try:
        return OpenVINOEncoder(model).compute, held
    except Exception as error:  # an old OpenVINO may have any; TensorFlow computes then
        logger.info("not computed by OpenVINO: %s", error)
        return None


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
