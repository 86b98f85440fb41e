"""The three models as Keras models.

Outputs, training, precision, saving, freezing, checkpointing, resizing.
"""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import recordings
from keras import ops

from dpr_tf import BatchEncoding, DPRConfig, TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.models import bert
from dpr_tf.weights import names

pytestmark = pytest.mark.skipif(
    keras.config.backend() != "tensorflow", reason="TensorFlow is the backend trained on"
)

MODELS = (TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader)
RECORDED = recordings.read_json("api/behaviour")["models"]


def tiny(**fields):
    """A configuration whose axes all differ."""
    sizes = {
        "vocab_size": 99,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 37,
        "max_position_embeddings": 40,
        "type_vocab_size": 3,
    }
    return DPRConfig(**{**sizes, **fields})


@pytest.fixture
def ids():
    return np.random.default_rng(5).integers(1, 99, (13, 7)).astype("int32")


@pytest.fixture(params=MODELS, ids=lambda cls: cls.__name__)
def model(request):
    return request.param(tiny(projection_dim=0 if request.param is TFDPRReader else 11))


def first(output):
    return ops.convert_to_numpy(output[0])


# -------------------------------------------------------------------------------------------------
# construction


def test_weights_exist_after_construction(model):
    assert set(model.variables_by_path) == {row.keras for row in names.rows(model.config, model.head)}
    assert model.count_params() == model.num_parameters() == model.num_parameters(only_trainable=True)


@pytest.mark.parametrize("config", [{"hidden_size": 32}, "a-name"])
def test_a_configuration_is_asked_for(config):
    with pytest.raises(ValueError, match="from_pretrained"):
        TFDPRReader(config)
    with pytest.raises(TypeError, match="config"):
        TFDPRReader()


def test_initial_weights_are_berts():
    model = TFDPRContextEncoder(tiny(hidden_size=64, vocab_size=500, projection_dim=8))
    for path, variable in model.variables_by_path.items():
        values = ops.convert_to_numpy(variable)
        if path.endswith(("kernel", "embeddings")):
            # A normal of deviation 0.02 cut at two deviations has one of 0.0176.
            assert np.abs(values).max() <= 0.04
            assert 0.015 < values.std() < 0.020, path
        else:
            assert (values == (1.0 if path.endswith("gamma") else 0.0)).all(), path


def test_equal_shapes_do_not_get_equal_weights():
    paths = TFDPRContextEncoder(tiny()).variables_by_path
    kernels = [
        ops.convert_to_numpy(v) for path, v in paths.items() if path.endswith("attention/query/kernel")
    ]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_attributes_of_the_reference(model):
    kind = {"ctx_encoder": "ctx", "question_encoder": "question", "reader": "reader"}[model.head]
    name, prefix, framework = RECORDED[f"{kind}: name, base_model_prefix, framework"]["result"]
    assert model.name.startswith(name)
    assert (model.base_model_prefix, model.framework, model.main_input_name) == (
        prefix,
        framework,
        "input_ids",
    )
    dummies = RECORDED[f"{kind}: dummy_inputs"]["result"]
    assert {k: ops.convert_to_numpy(v).tolist() for k, v in model.dummy_inputs.items()} == {
        k: v["__ndarray__"] for k, v in dummies.items()
    }
    signature = RECORDED[f"{kind}: input_signature"]["result"]
    assert {k: [str(v.shape), v.dtype] for k, v in model.input_signature.items()} == signature
    assert model.get_output_embeddings() is None
    assert model(model.dummy_inputs)[0].shape[0] == 1


# ------------------------------------------------------------------------------------------------------
# outputs


@pytest.mark.parametrize("by", ["argument", "configuration"])
def test_hidden_states_and_attentions(model, ids, by):
    flags = {"output_hidden_states": True, "output_attentions": True}
    if by == "configuration":
        model.config.update(flags)
        output = model(ids)
    else:
        output = model(ids, **flags)
    assert [tuple(s.shape) for s in output.hidden_states] == [(13, 7, 32)] * 3
    assert [tuple(a.shape) for a in output.attentions] == [(13, 4, 7, 7)] * 2
    np.testing.assert_allclose(ops.sum(output.attentions[0], axis=-1), 1.0, rtol=1e-5)
    plain = model(ids, output_hidden_states=False, output_attentions=False)
    assert plain.hidden_states is None
    assert plain.attentions is None


@pytest.mark.parametrize("position_embedding_type", ["absolute", "relative_key_query"])
@pytest.mark.parametrize("rank", [2, 3])
def test_the_vector_does_not_depend_on_what_else_is_asked_for(ids, position_embedding_type, rank):
    model = TFDPRContextEncoder(tiny(position_embedding_type=position_embedding_type, initializer_range=0.5))
    mask = (np.random.default_rng(2).random((13, 7, 7)[:rank]) < 0.7).astype("int32")
    # Asked for nothing else, the last block computes the first token only.
    vectors = first(model(ids, mask))
    for flag in ("output_hidden_states", "output_attentions"):
        np.testing.assert_allclose(vectors, first(model(ids, mask, **{flag: True})), atol=1e-5)
    assert np.abs(vectors - first(model(ids))).max() > 1e-3  # the mask counts


@pytest.mark.parametrize("training", [False, True])
def test_the_last_block_needs_no_keys_and_values_of_all_tokens(ids, training, monkeypatch):
    settings = {"attention_probs_dropout_prob": 0.5, "hidden_dropout_prob": 0.0, "initializer_range": 0.5}
    model = TFDPRContextEncoder(tiny(**settings))
    for layer in model.bert_model.encoder.layer:
        layer.attention.value.bias.assign(np.linspace(-1, 1, 32))
    mask = (np.random.default_rng(2).random((13, 7)) < 0.7).astype("int32")

    def attended():
        keras.utils.set_random_seed(3)
        model.bert_model.encoder.seed_generator.state.assign([1, 2])
        states, _, attentions = model.bert_model(ids, mask, training=training, first_only=True)
        return ops.convert_to_numpy(states), ops.convert_to_numpy(attentions[-1])

    found = attended()
    monkeypatch.setattr(bert, "has_kernel", lambda layer: False)
    for mine, whole in zip(found, attended(), strict=True):
        assert mine.shape == whole.shape
        np.testing.assert_allclose(mine, whole, atol=1e-5)


def test_products_are_of_matrices_and_go_straight_into_their_biases(model):
    import tensorflow as tf

    signature = tf.TensorSpec([None, None], tf.int32)
    graph = tf.function(lambda ids: model(ids)[0], input_signature=[signature]).get_concrete_function().graph
    products = [op for op in graph.get_operations() if op.type == "MatMul" and "layer_" in op.name]
    assert len(products) == 12
    if not isinstance(model, TFDPRReader):  # their last block has no keys and values of all tokens
        products = [op for op in products if "attention_1/MatMul" not in op.name]
        assert len(products) == 10
    for product in products:
        (bias,) = product.outputs[0].consumers()
        (*_, use) = bias.outputs[0].consumers()
        assert bias.type == "BiasAdd"
        uses = {
            "output": ["AddV2"],
            "intermediate": ["Mul"],
            "query": ["Reshape", "Mul"],  # the last block of encoders has one query a text, scaled at once
            "key": ["Reshape"],
            "value": ["Reshape"],
        }
        (wanted,) = (use for layer, use in uses.items() if f"/{layer}" in product.name)
        assert use.type in wanted, product.name


def test_return_dict(model, ids):
    heads = 3 if model.head == "reader" else 1
    assert len(model(ids, return_dict=False)) == heads  # no stray None, unlike v4.34
    assert len(model(ids, return_dict=False, output_attentions=True)) == heads + 1
    model.config.return_dict = False
    assert isinstance(model(ids), tuple)
    assert not isinstance(model(ids, return_dict=True), tuple)


def test_predict_stacks_batches(model, ids):
    whole = model.predict(ids, batch_size=5, verbose=0)
    assert type(whole) is type(model(ids))
    assert all(isinstance(value, np.ndarray) for value in whole.values())
    np.testing.assert_allclose(whole[0], first(model(ids)), atol=1e-6)


def test_training_drops_out(model, ids):
    still = first(model(ids))
    assert np.abs(first(model(ids, training=True)) - still).max() > 1e-4
    assert np.abs(first(model(ids, training=True)) - first(model(ids, training=True))).max() > 1e-4
    np.testing.assert_array_equal(first(model(ids)), still)


def test_no_dropout_without_probabilities(ids):
    model = TFDPRContextEncoder(tiny(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0))
    np.testing.assert_allclose(first(model(ids, training=True)), first(model(ids)), atol=1e-6)


@pytest.mark.parametrize("field", ["hidden_dropout_prob", "attention_probs_dropout_prob"])
def test_each_probability_drops_out(field, ids):
    probabilities = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, field: 0.5}
    model = TFDPRContextEncoder(tiny(**probabilities))
    assert np.abs(first(model(ids, training=True)) - first(model(ids))).max() > 1e-4


# -----------------------------------------------------------------------------------------------------
# training


def targets(model, ids):
    rng = np.random.default_rng(0)
    return {name: rng.random(np.shape(value)).astype("float32") for name, value in model(ids).items()}


def check_learning(model, ids, jit_compile):
    wanted = targets(model, ids)
    model.compile(keras.optimizers.Adam(1e-2), loss=dict.fromkeys(wanted, "mse"), jit_compile=jit_compile)
    before = model.evaluate(ids, wanted, verbose=0, return_dict=True)["loss"]
    history = model.fit({"input_ids": ids}, wanted, epochs=3, batch_size=5, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert model.evaluate(ids, wanted, verbose=0, return_dict=True)["loss"] < before


def test_fit_and_evaluate_learn(model, ids):
    check_learning(model, ids, jit_compile=False)


def test_fit_and_evaluate_learn_compiled_by_xla(ids):
    # One model of the three, of one block: XLA takes its time.
    check_learning(TFDPRReader(tiny(num_hidden_layers=1)), ids, jit_compile=True)


def test_fit_takes_lists_datasets_and_one_loss(ids):
    import tensorflow as tf

    model = TFDPRContextEncoder(tiny())
    wanted = targets(model, ids)["pooler_output"]
    model.compile("adam", "mse", metrics=["mae"])
    data = tf.data.Dataset.from_tensor_slices(({"input_ids": ids}, wanted)).batch(4)
    for arguments in ((ids, wanted), ([ids, np.ones_like(ids)], wanted), (data,)):
        history = model.fit(*arguments, shuffle=False, verbose=0).history
        assert np.isfinite(history["loss"]).all()
    assert "mae" in model.evaluate(data, verbose=0, return_dict=True)


def test_fit_predict_and_evaluate_take_what_a_tokenizer_returns(ids):
    model = TFDPRContextEncoder(tiny(num_hidden_layers=1))
    model.compile("adam", "mse")
    rows = BatchEncoding({"input_ids": ids.tolist(), "attention_mask": np.ones_like(ids)})
    ragged = [row[: 3 + n % 4] for n, row in enumerate(ids.tolist())]
    for x in (rows, ids.tolist(), ragged):
        wanted = model(x).pooler_output
        np.testing.assert_allclose(model.predict(x, verbose=0).pooler_output, wanted, atol=1e-6)
        assert model.evaluate(x, np.asarray(wanted), verbose=0) < 1e-9
    y = np.zeros((13, 32), "float32")
    history = model.fit(rows, y, validation_data=(rows, y), verbose=0).history
    assert np.isfinite([history["loss"], history["val_loss"]]).all()


REPLICAS = """
import numpy as np, tensorflow as tf
from dpr_tf import TFDPRContextEncoder, sample_folder
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
single = TFDPRContextEncoder.from_pretrained(sample_folder() / "context_encoder")
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    double = TFDPRContextEncoder.from_pretrained(sample_folder() / "context_encoder")
    double.compile("sgd", "mse", jit_compile=False)
single.compile("sgd", "mse", jit_compile=False)
ids, wanted = np.arange(96).reshape(8, 12) * 7 + 1, np.ones((8, 384), "float32")
fits = [model.fit(ids, wanted, batch_size=4, shuffle=False, verbose=0) for model in (single, double)]
print(fits[0].history["loss"][0] / fits[1].history["loss"][0])
"""


def test_fit_on_two_replicas():
    # In a process of its own: devices cannot be split once TensorFlow has started.
    done = subprocess.run([sys.executable, "-c", REPLICAS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.split()[-1]) == pytest.approx(1.0, abs=1e-3)


def test_fit_without_a_loss_says_so(ids):
    model = TFDPRContextEncoder(tiny())
    model.compile("adam")
    with pytest.raises(ValueError, match="loss"):
        model.fit(ids, np.zeros((13, 32)), verbose=0)


def test_freezing(ids):
    model = TFDPRContextEncoder(tiny(projection_dim=11))
    model.ctx_encoder.bert_model.trainable = False
    assert [w.path.split("/")[-2:] for w in model.trainable_weights] == [
        ["encode_proj", "kernel"],
        ["encode_proj", "bias"],
    ]
    frozen = {path: ops.convert_to_numpy(v) for path, v in model.variables_by_path.items()}
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.fit(ids, np.ones((13, 11), "float32"), verbose=0)
    changed = {
        path for path, v in model.variables_by_path.items() if np.any(ops.convert_to_numpy(v) != frozen[path])
    }
    assert changed == {"ctx_encoder/encode_proj/kernel", "ctx_encoder/encode_proj/bias"}


# ----------------------------------------------------------------------------------------- gradient
# checkpointing


@pytest.mark.parametrize("graph", [False, True])
def test_gradient_checkpointing_gives_the_same_gradients(ids, graph):
    import tensorflow as tf

    model = TFDPRContextEncoder(tiny(projection_dim=11))
    generators = [model.bert_model.encoder.seed_generator, model.bert_model.embeddings.seed_generator]

    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(ids, training=True).pooler_output))
        found = tape.gradient(loss, [v.value for v in model.trainable_variables])
        return [loss, *[tf.convert_to_tensor(g) for g in found]]

    results = []
    for switch in (model.gradient_checkpointing_disable, model.gradient_checkpointing_enable):
        switch()
        for generator in generators:
            generator.state.assign([0, 7])  # the same units are dropped in both
        results.append((tf.function(gradients) if graph else gradients)())
    for plain, recomputed in zip(*results, strict=True):
        np.testing.assert_allclose(plain, recomputed, atol=1e-6)


def test_gradient_checkpointing_computes_blocks_again(ids, monkeypatch):
    import tensorflow as tf

    model = TFDPRContextEncoder(tiny())
    calls, sound = [], bert.Block.call

    def call(self, *args, **kwargs):
        calls.append(self.name)
        return sound(self, *args, **kwargs)

    monkeypatch.setattr(bert.Block, "call", call)
    for switch, times in (
        (model.gradient_checkpointing_disable, 2),
        (model.gradient_checkpointing_enable, 4),
    ):
        switch()
        calls.clear()
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(ids, training=True).pooler_output)
        tape.gradient(loss, [v.value for v in model.trainable_variables])
        assert len(calls) == times


# ----------------------------------------------------------------------------------------------------
# embeddings


def test_input_embeddings_are_the_word_table(model, ids):
    embeds = model.get_input_embeddings()(ids)
    assert embeds.shape == (13, 7, 32)
    np.testing.assert_allclose(first(model(inputs_embeds=embeds)), first(model(ids)), atol=1e-6)


@pytest.mark.parametrize("rows", [120, 60])
def test_resize_token_embeddings(model, ids, rows):
    ids = ids % 50
    before, weights = first(model.predict(ids, verbose=0)), len(model.weights)
    table = model.resize_token_embeddings(rows)
    assert tuple(table.embeddings.shape) == (rows, 32)
    assert model.config.vocab_size == rows
    assert len(model.weights) == weights
    assert f"{model.bert_model.path}/embeddings/word_embeddings/embeddings" == table.embeddings.path
    np.testing.assert_allclose(first(model.predict(ids, verbose=0)), before, atol=1e-6)
    if rows > 99:
        assert np.isfinite(first(model(ids + 70))).all()
        assert np.abs(ops.convert_to_numpy(table.embeddings)[99:]).max() > 0


def test_resize_refuses_nonsense_and_keeps_the_size(model):
    with pytest.raises(ValueError, match="positive"):
        model.resize_token_embeddings(0)
    assert model.resize_token_embeddings().input_dim == 99


def test_training_goes_on_after_resizing(ids):
    model = TFDPRContextEncoder(tiny())
    model.resize_token_embeddings(120)
    model.compile("adam", "mse")
    history = model.fit(ids + 20, np.ones((13, 32), "float32"), epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


# -----------------------------------------------------------------------------------------------
# configuration


def test_get_config_is_json_and_rebuilds(model, ids):
    config = json.loads(json.dumps(model.get_config()))
    assert config["hidden_size"] == 32
    other = type(model).from_config(config)
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(first(other(ids)), first(model(ids)), atol=1e-6)
    assert other.name == model.name
    assert type(model)._from_config(model.config, name="given").name == "given"


def test_keras_file(model, ids, tmp_path):
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    assert type(other) is type(model)
    np.testing.assert_array_equal(first(other(ids)), first(model(ids)))


def test_weights_file(model, ids, tmp_path):
    model.save_weights(tmp_path / "model.weights.h5")
    other = type(model)(model.config)
    assert np.abs(first(other(ids)) - first(model(ids))).max() > 1e-4
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(first(other(ids)), first(model(ids)))


def test_functional_model_with_a_dpr_model_inside_is_saved(ids, tmp_path):
    inputs = keras.Input((None,), dtype="int32")
    encoder = TFDPRQuestionEncoder(tiny())
    outer = keras.Model(inputs, keras.layers.Dense(3)(encoder(inputs).pooler_output))
    outer.save(tmp_path / "outer.keras")
    other = keras.saving.load_model(tmp_path / "outer.keras")
    np.testing.assert_allclose(other(ids), outer(ids), atol=1e-6)


def test_summary(model):
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line))
    assert f"{model.count_params():,}" in "\n".join(lines)


# ----------------------------------------------------------------------------------------------------
# precision


@pytest.mark.parametrize(
    ("policy", "variable", "tolerance"),
    [
        ("mixed_bfloat16", "float32", 3e-2),
        ("mixed_float16", "float32", 5e-3),
        ("bfloat16", "bfloat16", 3e-2),
    ],
)
def test_precision_policies(model, ids, policy, variable, tolerance):
    other = type(model)(model.config, dtype=policy)
    other.set_weights(model.get_weights())
    output = other(ids)
    assert keras.backend.standardize_dtype(output[0].dtype) == policy.removeprefix("mixed_")
    assert {v.dtype for v in other.weights} == {variable}
    np.testing.assert_allclose(np.asarray(ops.cast(output[0], "float32")), first(model(ids)), atol=tolerance)
    masked = other(ids, np.zeros_like(ids))
    assert np.isfinite(np.asarray(ops.cast(masked[0], "float32"))).all()


def test_the_global_policy_counts(ids):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = TFDPRContextEncoder(tiny())
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.compute_dtype == model.bert_model.encoder.layer[1].intermediate.compute_dtype == "bfloat16"
    model.compile("adam", "mse")
    assert np.isfinite(model.fit(ids, np.ones((13, 32), "float32"), verbose=0).history["loss"]).all()


def test_jit_compile_predicts_the_same(model, ids):
    plain = model.predict(ids, verbose=0)[0]
    model.compile(jit_compile=True)
    np.testing.assert_allclose(model.predict(ids, verbose=0)[0], plain, atol=1e-5)
