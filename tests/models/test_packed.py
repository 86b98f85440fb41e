"""Products with packed weights: equal to the layers they stand for, and never those of other weights."""

import contextlib
import functools
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import dpr_tf.inference
from dpr_tf import DPRConfig, OpenVINOEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.inference import compile_forward
from dpr_tf.models import bert, packed
from dpr_tf.models.activations import FUNCTIONS
from dpr_tf.models.held import HeldWeights
from dpr_tf.models.int8 import check_int8, to_int8
from dpr_tf.training.lora import enable_lora
from dpr_tf.training.optimizers import adamw

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


def run_packed(function, *values, weights_stay=False, batches=False):
    """What a function gives in a graph of packed products, and how many products are."""

    def traced(*given):
        with packed.packing(weights_stay), packed.for_batches() if batches else contextlib.nullcontext():
            return function(*given)

    run = tf.function(traced, autograph=False)
    nodes = run.get_concrete_function(*values).graph.as_graph_def().node
    return run(*values), sum(node.op == "_MklNativeFusedMatMul" for node in nodes)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 14, 200])
def test_a_product_is_that_of_its_layer(dtype, rows):
    given = states(dtype, rows, 32)
    for activation, fused in (("gelu", "GeluExact"), ("tanh", ""), ("linear", "")):
        plain = layer(dtype, activation=FUNCTIONS[activation])
        found, products = run_packed(functools.partial(packed.product, plain, fused=fused), given)
        assert_close(found, plain(given), dtype)
        assert products == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batches", [True, False])
def test_a_residual_is_added_and_stays_what_it_was(batches, dtype):
    plain = layer(dtype)
    given, residual = states(dtype, 14, 32), states(dtype, 14, 48)
    (found, after), _ = run_packed(
        lambda x, r: (packed.product(plain, x, residual=r), tf.identity(r)), given, residual, batches=batches
    )
    assert_close(found, plain(given) + residual, dtype)
    assert_close(after, residual, dtype, factor=0.0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_layers_are_joined_in_one_product_where_weights_stay(dtype):
    layers, given = [layer(dtype) for _ in range(3)], states(dtype, 14, 32)
    layers[1].kernel.assign(-layers[1].kernel)

    def joined(x):
        assert packed.joins(layers, x)
        assert not packed.joins([*layers, keras.layers.LayerNormalization()], x)
        return packed.joined_product(layers, x)

    found, products = run_packed(joined, given, weights_stay=True)
    assert_close(found, tf.concat([each(given) for each in layers], axis=1), dtype)
    assert products == 1
    run_packed(lambda x: pytest.fail("joined") if packed.joins(layers, x) else x, given)


@pytest.mark.parametrize("dtype", DTYPES)
def test_normalised_is_layer_norm(dtype):
    norm = keras.layers.LayerNormalization(epsilon=1e-3, dtype=dtype, gamma_initializer="normal")
    norm.build((None, 32))
    given = states(dtype, 14, 32) * 3.0 + 1.0
    found, _ = run_packed(lambda x: packed.normalised(norm, x), given)
    assert_close(found, norm(given), dtype, factor=0.2)


@pytest.mark.skipif(not packed.can_pack("bfloat16"), reason="on AVX-512, scores are masked in their product")
@pytest.mark.parametrize("dtype", DTYPES)
def test_masked_scores_are_those_of_their_operations(dtype):
    query, key = states(dtype, 2, 3, 5, 8), states(dtype, 2, 3, 7, 8)
    lowest = bert.lowest(dtype)
    mask = np.zeros((2, 1, 1, 7))
    mask[0, ..., 5], mask[0, ..., 6], mask[1] = lowest, -np.inf, lowest
    mask = tf.cast(mask, dtype)
    found, _ = run_packed(functools.partial(packed.masked_scores, scale=0.3, mask=mask), query, key)
    expected = tf.matmul(query * tf.cast(0.3, dtype), key, transpose_b=True) + mask
    assert_close(found, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
@pytest.mark.parametrize("kind", ["absolute", "relative_key_query"])
def test_batches_equal_the_model_whatever_is_masked(cls, kind, dtype):
    settings = {**CONFIG.to_dict(), "position_embedding_type": kind, "max_position_embeddings": 5}
    model = cls(DPRConfig(**settings), dtype=dtype)
    given = batch(texts=5, tokens=5)
    given["attention_mask"][1, 3:] = 0
    given["attention_mask"][2, 1:3] = 0
    given["attention_mask"][3] = 0
    given["attention_mask"][4, :2] = 0
    expected = model(given)
    forward = compile_forward(model, INPUTS, tuple(expected.keys()))
    for values, sound in zip(forward(given), expected.values(), strict=True):
        assert_close(values, sound, dtype)
    masked = packed.can_pack("bfloat16") and kind == "absolute"
    blocks = CONFIG.num_hidden_layers - (cls is TFDPRQuestionEncoder)  # the last has other scores
    run = forward._run._fast or forward._run._plain
    assert nodes(run, "_MklFusedBatchMatMulV2") == (blocks if masked else 0)


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
    """From the first single text on, by TensorFlow."""
    monkeypatch.setattr(dpr_tf.inference, "_TEXTS", 0)
    monkeypatch.setattr(dpr_tf.inference, "_by_openvino", lambda model: None)


def pack(model, outputs=("pooler_output",)):
    """A forward pass that has packed the weights, for single texts of `batch`."""
    forward = compile_forward(model, INPUTS, outputs, single_texts=True)
    forward(batch())
    assert forward._run._fast is not None
    return forward


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
def test_a_forward_pass_equals_the_model(cls, dtype, at_once):
    model = cls(CONFIG, dtype=dtype)
    outputs = [name for name, _ in model(batch()).items()]
    forward = pack(model, outputs)
    for tokens in (12, 1, 30, 64, 12):
        given = batch(tokens=tokens)
        given["attention_mask"][:, 20:] = 0
        for name, found in zip(outputs, forward(given), strict=True):
            assert_close(found, model(given)[name], dtype)
    assert forward._run._fast is not None


@pytest.mark.parametrize("dtype", DTYPES)
def test_all_products_but_those_of_attention_are_packed(dtype):
    model = TFDPRQuestionEncoder(CONFIG, dtype=dtype)
    _, products = run_packed(model, {name: tf.constant(array) for name, array in batch().items()})
    assert products == 6 * CONFIG.num_hidden_layers - 2  # keys and values of the last block are not computed


def nodes(run, kind="_MklLayerNorm"):
    """How many nodes of a traced forward pass are a whole LayerNorm, or of another kind."""
    return sum(node.op == kind for node in run.get_concrete_function().graph.as_graph_def().node)


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
@pytest.mark.parametrize(
    ("single_texts", "weights_stay", "avx512", "products"),
    [
        (False, True, True, 4 * CONFIG.num_hidden_layers),
        (False, True, False, 0),
        (False, False, True, 0),
        (True, True, True, 0),
    ],
)
def test_batches_in_float32_have_packed_weights_where_these_stay(
    single_texts, weights_stay, avx512, products, monkeypatch
):
    monkeypatch.setattr(packed, "can_pack", lambda dtype: dtype == "float32" or avx512)
    model = TFDPRQuestionEncoder(CONFIG)
    model.set_weights([weight + 0.01 for weight in model.get_weights()])  # biases are zeros
    forward = compile_forward(
        model, INPUTS, ("pooler_output",), single_texts=single_texts, weights_stay=weights_stay
    )
    assert nodes(forward._run._plain, "_MklNativeFusedMatMul") == products
    for texts in (3, 1):
        (found,) = forward(batch(texts=texts))
        assert_close(found, model(batch(texts=texts))["pooler_output"], "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_layer_norm_is_one_node_for_batches_and_its_weights_may_change(dtype):
    model = TFDPRQuestionEncoder(CONFIG, dtype=dtype)
    forward = compile_forward(model, INPUTS, ("pooler_output",))
    assert nodes(forward._run._fast or forward._run._plain) == 1 + 2 * CONFIG.num_hidden_layers
    for factor in (1.0, 0.5):
        gamma = model.bert_model.encoder.layer[1].LayerNorm.gamma
        gamma.assign(gamma * factor)
        (found,) = forward(batch(texts=3))
        assert_close(found, model(batch(texts=3))["pooler_output"], dtype)


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
@pytest.mark.parametrize("kind", ["_MklLayerNorm", "_MklFusedBatchMatMulV2"])
def test_single_texts_keep_what_is_faster_with_few_tokens(kind, at_once):
    assert nodes(pack(TFDPRQuestionEncoder(CONFIG))._run._fast, kind) == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("change", ["a training step", "a kernel", "a bias"])
def test_changed_weights_are_noticed(dtype, change, at_once):
    model = TFDPRQuestionEncoder(CONFIG, dtype=dtype)
    forward = pack(model)
    (before,) = forward(batch())
    if change == "a training step":
        model.compile(keras.optimizers.SGD(0.1), loss="mse", jit_compile=False)
        model.train_on_batch({**batch()}, np.ones((1, 64), np.float32))
    else:
        weight = getattr(model.bert_model.encoder.layer[1].intermediate, change.removeprefix("a "))
        numbers = np.sin(np.arange(np.prod(weight.shape))).reshape(weight.shape)
        weight.assign(weight + numbers * 0.2)
    for _ in range(2):
        (after,) = forward(batch())
        assert_close(after, model(batch())["pooler_output"], dtype)
        assert np.abs(after - before).max() > 1e-3
    assert (forward._run._fast is not None) == (change == "a bias")  # which is not packed


def hold(model):
    return HeldWeights(weight.value for weight in model.weights)


def train(optimizer, **settings):
    def change(model):
        model.compile(optimizer(), loss="mse", **settings)
        model.train_on_batch({**batch()}, np.ones((1, 64), np.float32))

    return change


def kernel(model):
    return model.bert_model.encoder.layer[1].intermediate.kernel.value


CHANGES = {
    "assign": lambda model: kernel(model).assign(tf.zeros_like(kernel(model))),
    "assign_add": lambda model: kernel(model).assign_add(tf.ones_like(kernel(model))),
    "one number": lambda model: kernel(model)[3, 4].assign(7.0),
    "rows": lambda model: kernel(model).scatter_nd_update([[5]], [np.ones(256, np.float32)]),
    "rows added": lambda model: kernel(model).scatter_add(
        tf.IndexedSlices(np.ones((1, 256), np.float32), [5])
    ),
    "set_weights": lambda model: model.set_weights([weight + 1 for weight in model.get_weights()]),
    "Keras's SGD": train(lambda: keras.optimizers.SGD(0.1), jit_compile=False),
    "Keras's Adam, run eagerly": train(lambda: keras.optimizers.Adam(0.1), run_eagerly=True),
    "our AdamW": train(lambda: adamw(0.1, steps=1, warmup=0), jit_compile=False),
    "XLA": train(lambda: keras.optimizers.SGD(0.1), jit_compile=True),
}


@pytest.mark.parametrize("change", CHANGES)
def test_held_weights_stay_as_they_are_and_tell_of_a_change(change):
    model = TFDPRQuestionEncoder(CONFIG)
    before, held = model.get_weights(), hold(model)
    model(batch())
    model.get_weights()
    assert held.unchanged()
    CHANGES[change](model)
    assert not held.unchanged()
    for memory, array in zip(held._memory, before, strict=True):
        np.testing.assert_array_equal(memory, array)


def test_weights_of_replicas_are_held():
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        model = TFDPRQuestionEncoder(CONFIG)
        held = hold(model)
    assert held.unchanged()
    model.set_weights([weight + 1 for weight in model.get_weights()])
    assert not held.unchanged()


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
@pytest.mark.parametrize("by_openvino", [True, False])
def test_float32_is_faster_for_short_single_texts_after_a_few(by_openvino, monkeypatch):
    if by_openvino:
        pytest.importorskip("openvino")
    else:
        monkeypatch.setitem(sys.modules, "openvino", None)
    model = TFDPRQuestionEncoder(CONFIG)
    forward = compile_forward(model, INPUTS, ("pooler_output",), single_texts=True)
    for _ in range(dpr_tf.inference._TEXTS):
        forward(batch())
    assert forward._run._fast is None
    forward(batch(texts=2))
    forward(batch(tokens=65))
    assert forward._run._fast is None
    found = forward(batch())
    assert isinstance(getattr(forward._run._fast, "__self__", None), OpenVINOEncoder) == by_openvino
    assert_close(found[0], model(batch())["pooler_output"], "float32")
    model.bert_model.embeddings.LayerNorm.beta.assign(np.arange(64.0))
    assert_close(forward(batch())[0], model(batch())["pooler_output"], "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_nobody_looks_for_changes_of_weights_that_stay(dtype, at_once, monkeypatch):
    model = TFDPRQuestionEncoder(CONFIG, dtype=dtype)
    make = functools.partial(compile_forward, model, INPUTS, ("pooler_output",), single_texts=True)
    monkeypatch.setattr(HeldWeights, "unchanged", lambda held: pytest.fail("looked"))
    forward = make(weights_stay=True)
    for _ in range(2):
        assert_close(forward(batch())[0], model(batch())["pooler_output"], dtype)
    assert forward._run._fast is not None
    with pytest.raises(pytest.fail.Exception, match="looked"):
        make()(batch())


def test_weights_that_are_copied_at_each_reading_are_not_held():
    pytest.importorskip("openvino")
    model = TFDPRQuestionEncoder(CONFIG)
    assert dpr_tf.inference._by_openvino(model) is not None
    CHANGES["rows"](model)
    assert not hold(model).unchanged()
    assert dpr_tf.inference._by_openvino(model) is None


def test_vectors_are_the_same_in_every_run_where_they_must_be(at_once):
    forward = compile_forward(TFDPRQuestionEncoder(CONFIG), INPUTS, ("pooler_output",))
    for _ in range(2):
        forward(batch())
    assert forward._run._fast is None


@pytest.mark.skipif(not packed.can_pack("float32"), reason="TensorFlow packs no weights on this machine")
def test_a_model_in_int8_stays_one(at_once):
    check_int8()
    model = TFDPRQuestionEncoder(CONFIG)
    to_int8(model)
    forward = compile_forward(model, INPUTS, ("pooler_output",), single_texts=True)
    texts = [batch(tokens=tokens) for tokens in range(4, 13)]
    apart = [np.abs(forward(text)[0] - model(text)["pooler_output"]).max() for text in texts]
    # Rarely, sums that differ in their last bit let a state be rounded to another byte.
    assert np.median(apart) < 1e-4


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
    _, products = run_packed(model, {name: tf.constant(array) for name, array in batch().items()})
    assert not products
    assert_close(pack(model)(batch())[0], model(batch())["pooler_output"], "bfloat16")


def test_nothing_is_packed_where_onednn_is_off(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert not packed.can_pack.__wrapped__("float32")
