"""Products with packed weights: equal to the layers they stand for, and never those of other weights."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import dpr_tf.inference
from dpr_tf import DPRConfig, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.inference import compile_forward
from dpr_tf.models import packed
from dpr_tf.models.activations import FUNCTIONS
from dpr_tf.models.int8 import check_int8, to_int8
from dpr_tf.training.lora import enable_lora

DTYPES = [
    pytest.param(
        dtype,
        marks=pytest.mark.skipif(
            not packed.can_pack(dtype), reason=f"TensorFlow cannot pack {dtype} weights on this machine"
        ),
    )
    for dtype in ("float32", "bfloat16")
]
CLOSE = {"float32": 1e-5, "bfloat16": 0.1}
CONFIG = DPRConfig(
    vocab_size=50,
    hidden_size=64,
    num_attention_heads=2,
    num_hidden_layers=2,
    intermediate_size=256,
    initializer_range=0.2,
)
INPUTS = ("input_ids", "attention_mask")


def batch(texts=1, tokens=12):
    ids = np.random.default_rng(tokens).integers(1, 50, (texts, tokens))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def assert_close(found, expected, dtype, factor=1.0):
    found, expected = (np.asarray(values, np.float32) for values in (found, expected))
    np.testing.assert_allclose(found, expected, atol=CLOSE[dtype] * factor)


def layer(dtype, **settings):
    keras.utils.set_random_seed(3)
    made = keras.layers.Dense(48, dtype=dtype, bias_initializer="normal", **settings)
    made.build((None, 32))
    return made


def states(dtype, *shape):
    return tf.cast(np.random.default_rng(0).normal(size=shape), dtype)


def run_packed(function, *values):
    """What a function gives in a graph of packed products, and the kernels of these."""
    kernels = []

    def traced(*given):
        with packed.packing() as found:
            result = function(*given)
        kernels.extend(found)
        return result

    return tf.function(traced, autograph=False)(*values), kernels


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 14, 200])
def test_a_product_is_that_of_its_layer(dtype, rows):
    given = states(dtype, rows, 32)
    for activation, fused in (("gelu", "GeluExact"), ("tanh", ""), ("linear", "")):
        plain = layer(dtype, activation=FUNCTIONS[activation])
        found, kernels = run_packed(functools.partial(packed.product, plain, fused=fused), given)
        assert_close(found, plain(given), dtype)
        assert len(kernels) == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_residual_is_added_and_stays_what_it_was(dtype):
    plain = layer(dtype)
    given, residual = states(dtype, 14, 32), states(dtype, 14, 48)
    (found, after), _ = run_packed(
        lambda x, r: (packed.product(plain, x, residual=r), tf.identity(r)), given, residual
    )
    assert_close(found, plain(given) + residual, dtype)
    assert_close(after, residual, dtype, factor=0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalised_is_layer_norm(dtype):
    norm = keras.layers.LayerNormalization(epsilon=1e-3, dtype=dtype, gamma_initializer="normal")
    norm.build((None, 32))
    given = states(dtype, 14, 32) * 3.0 + 1.0
    found, _ = run_packed(lambda x: packed.normalised(norm, x), given)
    assert_close(found, norm(given), dtype, factor=0.2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_plain_layer_is_not_packed(dtype):
    adapted, matrix = layer(dtype), states(dtype, 3, 32)
    adapted.enable_lora(2)
    integers = layer(dtype)
    integers.quantize("int8")
    with packed.packing():
        assert packed.packs(layer(dtype), matrix)
        assert not packed.packs(adapted, matrix)
        assert not packed.packs(integers, matrix)
        assert not packed.packs(layer(dtype), states(dtype, 2, 3, 32))
    assert not packed.packs(layer(dtype), matrix)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(dpr_tf.inference, "_TEXTS", 0)


def pack(model, outputs=("pooler_output",)):
    """A forward pass that has packed the weights, for single texts of `batch`."""
    forward = compile_forward(model, INPUTS, outputs, single_texts=True)
    forward(batch())
    assert forward._run._weights is not None
    return forward


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
def test_a_forward_pass_equals_the_model(cls, dtype, at_once):
    model = cls(CONFIG, dtype=dtype)
    outputs = [name for name, _ in model(batch()).items()]
    forward = pack(model, outputs)
    assert len(forward._run._weights)
    for tokens in (12, 1, 30, 64, 12):
        given = batch(tokens=tokens)
        given["attention_mask"][:, 20:] = 0
        for name, found in zip(outputs, forward(given), strict=True):
            assert_close(found, model(given)[name], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("change", ["a training step", "a row", "a column"])
def test_changed_weights_are_noticed(dtype, change, at_once):
    model = TFDPRQuestionEncoder(CONFIG, dtype=dtype)
    forward = pack(model)
    (before,) = forward(batch())
    kernel = model.bert_model.encoder.layer[1].intermediate.kernel
    if change == "a training step":
        model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
        model.train_on_batch({**batch()}, np.ones((1, 64), np.float32))
    elif change == "a row":  # of an input, as where one is pruned
        kernel.assign(np.asarray(kernel, np.float32) * (np.arange(64) >= 32)[:, None])
    else:
        kernel.assign(np.asarray(kernel, np.float32) * (np.arange(256) != 7))
    for _ in range(2):
        (after,) = forward(batch())
        assert_close(after, model(batch())["pooler_output"], dtype)
        assert np.abs(after - before).max() > 1e-3


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
def test_float32_is_packed_for_short_single_texts_after_a_few():
    forward = compile_forward(TFDPRQuestionEncoder(CONFIG), INPUTS, ("pooler_output",), single_texts=True)
    for _ in range(dpr_tf.inference._TEXTS):
        forward(batch())
    assert forward._run._packed is None
    forward(batch(texts=2))
    forward(batch(tokens=65))
    assert forward._run._packed is None
    forward(batch())
    assert forward._run._packed is not None


def test_float32_is_not_packed_where_vectors_must_be_the_same_in_every_run(at_once):
    forward = compile_forward(TFDPRQuestionEncoder(CONFIG), INPUTS, ("pooler_output",))
    for _ in range(2):
        forward(batch())
    assert forward._run._packed is None


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
def test_a_model_in_int8_stays_one(at_once):
    check_int8()
    model = TFDPRQuestionEncoder(CONFIG)
    to_int8(model)
    forward = compile_forward(model, INPUTS, ("pooler_output",), single_texts=True)
    np.testing.assert_allclose(forward(batch())[0], model(batch())["pooler_output"], atol=1e-2)


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
def test_adapters_are_computed(at_once):
    model = TFDPRQuestionEncoder(CONFIG)
    enable_lora(model, 2)
    attention = model.bert_model.encoder.layer[0].attention
    attention.query.lora_kernel_b.assign(np.ones(attention.query.lora_kernel_b.shape))
    forward = pack(model)
    assert_close(forward(batch())[0], model(batch())["pooler_output"], "float32")


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
def test_weights_that_are_cast_are_not_packed(at_once):
    """On a processor without bfloat16, oneDNN would end the process."""
    model = TFDPRQuestionEncoder(CONFIG, dtype="mixed_bfloat16")
    forward = pack(model)
    assert not len(forward._run._weights)
    assert_close(forward(batch())[0], model(batch())["pooler_output"], "bfloat16")


def test_nothing_is_packed_where_onednn_is_off(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not packed.can_pack.__wrapped__("float32")
