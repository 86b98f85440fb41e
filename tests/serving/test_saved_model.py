"""The exported signatures, precisions, what an export leaves alone, and how the folder is written."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from dpr_tf.serving import export_saved_model, serving_output

# Recorded from Transformers 4.34: inputs and outputs of both signatures.
INPUTS = {
    "context": ["attention_mask", "input_ids", "token_type_ids"],
    "question": ["attention_mask", "input_ids", "token_type_ids"],
    "reader": ["attention_mask", "input_ids"],
}
OUTPUTS = {
    "context": {"pooler_output": (None, 10)},
    "question": {"pooler_output": (None, 24)},
    "reader": {"end_logits": (None, None), "relevance_logits": (None,), "start_logits": (None, None)},
}
STATES = {"hidden_states": (3, None, None, 24), "attentions": (2, None, 3, None, None)}
# Largest difference to the model called eagerly, which rounds in other places than a graph. Outputs reach 5.
POLICIES = {"mixed_bfloat16": 0.1, "mixed_float16": 0.01, "bfloat16": 0.1, "float16": 0.01}


def run(folder, inputs):
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    return signature(**{name: tf.constant(value) for name, value in inputs.items()})


def describe(specs):
    return {name: (tuple(spec.shape), spec.dtype) for name, spec in specs.items()}


@pytest.mark.parametrize("kind", OUTPUTS)
@pytest.mark.parametrize("asked", [False, True])
def test_signatures(kind, asked, make_model, tmp_path):
    model = make_model(kind, output_hidden_states=asked, output_attentions=asked)
    signatures = tf.saved_model.load(str(export_saved_model(model, tmp_path / "1"))).signatures
    shapes = {**OUTPUTS[kind], **(STATES if asked else {})}
    assert sorted(signatures) == ["int64_serving", "serving_default"]
    for signature, dtype in (("serving_default", tf.int32), ("int64_serving", tf.int64)):
        assert describe(signatures[signature].structured_input_signature[1]) == dict.fromkeys(
            INPUTS[kind], ((None, None), dtype)
        )
        assert describe(signatures[signature].structured_outputs) == {
            name: (shape, tf.float32) for name, shape in shapes.items()
        }


@pytest.mark.parametrize("kind", ["context", "reader"])
@pytest.mark.parametrize("policy", POLICIES)
def test_half_precision_models_answer_float32(
    kind, policy, make_model, make_inputs, expected_outputs, tmp_path
):
    model, inputs = make_model(kind, policy, num_hidden_layers=1), make_inputs(kind, 3, 7)
    answers = run(export_saved_model(model, tmp_path / "1"), inputs)
    for name, expected in expected_outputs(model, inputs).items():
        assert answers[name].dtype == tf.float32
        np.testing.assert_allclose(answers[name], expected, atol=POLICIES[policy], rtol=0)


def test_the_models_own_methods_write_it(make_model, make_inputs, expected_outputs, tmp_path):
    model, inputs = make_model("question"), make_inputs("question", 3, 7)
    model.export(tmp_path / "exported" / "1")
    model.save_pretrained(tmp_path / "saved", saved_model=True, version=4)
    expected = expected_outputs(model, inputs)["pooler_output"]
    for folder in (tmp_path / "exported" / "1", tmp_path / "saved" / "saved_model" / "4"):
        np.testing.assert_allclose(run(folder, inputs)["pooler_output"], expected, atol=1e-5, rtol=0)


def test_configuration_without_return_dict(make_model, make_inputs, tmp_path):
    model = make_model("context", return_dict=False)
    answers = run(export_saved_model(model, tmp_path / "1"), make_inputs("context", 3, 7))
    assert list(answers) == ["pooler_output"]
    assert isinstance(model(make_inputs("context", 3, 7)), tuple)


def test_serving_output_leaves_out_what_the_configuration_does_not_ask_for(make_model, make_inputs):
    model = make_model("context", output_attentions=True)
    output = serving_output(model, model(make_inputs("context", 4, 7), output_hidden_states=True))
    shapes = {name: tuple(value.shape) for name, value in output.items()}
    # attentions: [layers, batch, heads, tokens, tokens]
    assert shapes == {"pooler_output": (4, 10), "attentions": (2, 4, 3, 7, 7)}


def test_resized_vocabulary_is_what_is_exported(make_model, make_inputs, expected_outputs, tmp_path):
    model, inputs = make_model("context"), make_inputs("context", 3, 7)
    model.resize_token_embeddings(101)
    inputs["input_ids"][0, 1] = 100
    folder = export_saved_model(model, tmp_path / "1")
    expected = expected_outputs(model, inputs)["pooler_output"]
    np.testing.assert_allclose(run(folder, inputs)["pooler_output"], expected, atol=1e-5, rtol=0)
    shapes = [tuple(shape) for _, shape in tf.train.list_variables(str(folder / "variables" / "variables"))]
    assert (101, 24) in shapes
    assert (97, 24) not in shapes


def test_training_goes_on_as_if_nothing_had_been_exported(make_model, make_inputs, tmp_path):
    inputs = make_inputs("context", 4, 7)
    targets = {"pooler_output": np.random.default_rng(5).normal(size=(4, 10)).astype(np.float32)}
    losses = []
    for export in (False, True):
        keras.utils.set_random_seed(3)
        model = make_model("context", num_hidden_layers=1)
        model.compile(optimizer="adam", loss={"pooler_output": "mse"}, jit_compile=False)
        history = model.fit(inputs, targets, epochs=2, batch_size=2, verbose=0).history["loss"]
        if export:
            before = [keras.ops.convert_to_numpy(weight.value) for weight in model.variables]
            export_saved_model(model, tmp_path / "1")
            for weight, value in zip(model.variables, before, strict=True):
                np.testing.assert_array_equal(weight.value, value)
        losses.append(history + model.fit(inputs, targets, epochs=2, batch_size=2, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    assert losses[0][-1] < losses[0][0]


def test_weights_are_stored_once_and_without_the_optimizer(make_model, make_inputs, tmp_path):
    model = make_model("context", vocab_size=20011)
    model.compile(optimizer="adam", loss={"pooler_output": "mse"})
    model.optimizer.build(model.trainable_variables)
    folder = export_saved_model(model, tmp_path / "1")
    stored = sum(file.stat().st_size for file in (folder / "variables").iterdir())
    assert 1.0 <= stored / (4 * model.count_params()) < 1.02  # float32, and an index
    assert (folder / "saved_model.pb").stat().st_size < 500_000


def test_own_signatures_replace_the_default_ones(make_model, tmp_path):
    model = make_model("context")

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="ids")])
    def vectors(ids):
        return {"vector": model(ids).pooler_output}

    named = export_saved_model(model, tmp_path / "1", signatures={"vectors": vectors})
    assert list(tf.saved_model.load(str(named)).signatures) == ["vectors"]
    ids = np.array([[5, 8, 13], [21, 34, 0]], np.int32)
    answer = run(export_saved_model(model, tmp_path / "2", signatures=vectors), {"ids": ids})
    np.testing.assert_allclose(answer["vector"], model(ids).pooler_output, atol=1e-5, rtol=0)


def test_an_earlier_export_is_replaced_as_a_whole(make_model, make_inputs, expected_outputs, tmp_path):
    inputs = make_inputs("reader", 3, 7)
    folder = export_saved_model(make_model("context"), tmp_path / "dpr" / "1")
    (folder / "assets.extra").mkdir()
    reader = make_model("reader")
    assert export_saved_model(reader, str(folder)) == folder
    expected = expected_outputs(reader, inputs)["start_logits"]
    np.testing.assert_allclose(run(folder, inputs)["start_logits"], expected, atol=1e-5, rtol=0)
    assert not (folder / "assets.extra").exists()
    assert [entry.name for entry in folder.parent.iterdir()] == ["1"]


@pytest.mark.parametrize("step", ["save", "rename"])
def test_a_failed_export_leaves_the_earlier_one(step, make_model, make_inputs, tmp_path, monkeypatch):
    inputs = make_inputs("context", 3, 7)
    folder = export_saved_model(make_model("context"), tmp_path / "1")
    expected = run(folder, inputs)["pooler_output"].numpy()
    rename = type(folder).rename

    def fail_to_move_in(source, target):
        if source.name == "new":
            raise OSError("planted")
        return rename(source, target)

    def fail_half_way(module, path, signatures):
        tf.io.gfile.makedirs(path)
        raise OSError("planted")

    if step == "save":
        monkeypatch.setattr(tf.saved_model, "save", fail_half_way)
    else:
        monkeypatch.setattr(type(folder), "rename", fail_to_move_in)
    with pytest.raises(OSError, match="planted"):
        export_saved_model(make_model("question"), folder)
    np.testing.assert_array_equal(run(folder, inputs)["pooler_output"], expected)
    assert [entry.name for entry in tmp_path.iterdir()] == ["1"]


def test_other_folders_and_files_are_never_replaced(make_model, tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match=r"notes holds \['a\.txt'\] and is no SavedModel"):
        export_saved_model(make_model("context"), tmp_path / "notes")
    with pytest.raises(FileExistsError, match=r"a\.txt is a file: name a folder"):
        export_saved_model(make_model("context"), tmp_path / "notes" / "a.txt")
    with pytest.raises(ValueError, match="path must be a local folder, got 'gs://bucket/1'"):
        export_saved_model(make_model("context"), "gs://bucket/1")
    assert (tmp_path / "notes" / "a.txt").read_text(encoding="utf-8") == "mine"


def test_an_empty_folder_is_filled(make_model, make_inputs, tmp_path):
    (tmp_path / "1").mkdir()
    folder = export_saved_model(make_model("question"), tmp_path / "1")
    assert run(folder, make_inputs("question", 2, 5))["pooler_output"].shape == (2, 24)


def test_other_backends_are_told_what_to_do(make_model, tmp_path, monkeypatch):
    model = make_model("context")
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="is exported on Keras's TensorFlow backend, this is 'jax'"):
        export_saved_model(model, tmp_path / "1")
