"""`from_pretrained`, `save_pretrained`, `push_to_hub` and `init_from_bert` of the Keras models."""

import gc
import json
import logging
import shutil
import warnings

import fake_hub
import keras
import numpy as np
import pytest
import recordings
from keras import ops
from keras.src.backend.common import global_state

import dpr_tf.hub
from dpr_tf import DPRConfig, TFDPRContextEncoder, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.weights import files

KINDS = {"ctx": TFDPRContextEncoder, "question": TFDPRQuestionEncoder, "reader": TFDPRReader}
ids = np.array([[4, 106, 10, 9, 135, 5], [4, 102, 97, 94, 5, 0]], "int32")


def folder(name):
    return recordings.checkpoint(f"checkpoints/{name}")


def first(model):
    return ops.convert_to_numpy(model(ids)[0])


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def model(kind):
    return KINDS[kind].from_pretrained(folder(f"formats/{kind}-safetensors"))


# ------------------------------------------------------------------------------------------------- loading


def test_loading_information(kind):
    cls = KINDS[kind]
    model, info = cls.from_pretrained(folder(f"formats/{kind}-safetensors"), output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    assert model.config.name_or_path == str(folder(f"formats/{kind}-safetensors"))


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("safe", [True, False])
def test_large_weights_are_laid_out_as_small_ones(tmp_path, dtype, safe):
    # from 1 MB on, TensorFlow takes the memory over in which they were read and turned
    config = DPRConfig(
        vocab_size=1100, hidden_size=516, num_hidden_layers=1, num_attention_heads=4, intermediate_size=601
    )
    saved = TFDPRContextEncoder(config)
    saved.save_pretrained(tmp_path, safe_serialization=safe)
    models = [TFDPRContextEncoder.from_pretrained(tmp_path, dtype=dtype) for _ in range(2)]
    gc.collect()
    for weight in models[0].weights:
        weight.assign_add(ops.ones(weight.shape, weight.dtype))
    for path, weight in saved.variables_by_path.items():
        values = ops.convert_to_numpy(weight).astype(dtype)
        found = [ops.convert_to_numpy(model.variables_by_path[path]) for model in models]
        np.testing.assert_array_equal(found[1], values)
        np.testing.assert_array_equal(found[0], values + np.ones_like(values))


@pytest.mark.parametrize("from_pt", [False, True])
def test_every_format_is_read_whatever_from_pt_says(from_pt):
    for name in ("ctx-safetensors", "ctx-h5", "ctx-bin-zip"):
        path = folder(f"formats/{name}")
        np.testing.assert_allclose(
            first(TFDPRContextEncoder.from_pretrained(path, from_pt=from_pt)),
            first(
                TFDPRContextEncoder.from_pretrained(
                    next(p for p in path.iterdir() if p.suffix in (".safetensors", ".h5", ".bin"))
                )
            ),
            atol=1e-7,
        )


def test_another_configuration_and_overrides(tmp_path):
    path = folder("formats/ctx-safetensors")
    model = TFDPRContextEncoder.from_pretrained(path, output_attentions=True, name="mine")
    assert model(ids).attentions is not None
    assert model.name == "mine"
    config = DPRConfig.from_pretrained(path, hidden_dropout_prob=0.5)
    model = TFDPRContextEncoder.from_pretrained(path, config=config)
    assert model.config.hidden_dropout_prob == 0.5
    assert model.config is not config
    config.save_pretrained(tmp_path)
    assert TFDPRContextEncoder.from_pretrained(path, config=tmp_path).config.hidden_dropout_prob == 0.5


def test_a_failed_load_leaves_nothing_for_keras_to_initialise():
    with pytest.raises(ValueError, match="TFDPRReader"):
        TFDPRContextEncoder.from_pretrained(folder("formats/reader-safetensors"))
    assert not global_state.get_global_attribute("uninitialized_variables", [])
    with keras.StatelessScope():
        pass  # on leaving, Keras initialises what waits for it


def test_unknown_keywords_are_refused():
    with pytest.raises(TypeError, match="no_such_field"):
        TFDPRContextEncoder.from_pretrained(folder("formats/ctx-safetensors"), no_such_field=1)


def test_unknown_keywords_of_saving_are_refused_before_anything_is_written(tmp_path):
    model = TFDPRContextEncoder.from_pretrained(folder("formats/ctx-safetensors"))
    with pytest.raises(TypeError, match="safe_serialisation"):
        model.save_pretrained(tmp_path / "mine", safe_serialisation=False)
    assert not (tmp_path / "mine").exists()
    model.save_pretrained(tmp_path / "mine", use_auth_token=False)


def test_a_whole_keras_model_is_no_checkpoint(tmp_path):
    model = TFDPRContextEncoder.from_pretrained(folder("formats/ctx-safetensors"))
    model.save(tmp_path / "model.keras")
    with pytest.raises(OSError, match="a whole Keras model"):
        TFDPRContextEncoder.from_pretrained(tmp_path / "model.keras")


def test_a_newly_asked_projection_is_initialised_and_reported(caplog):
    with caplog.at_level(logging.WARNING):
        model, info = TFDPRContextEncoder.from_pretrained(
            folder("formats/ctx-safetensors"), projection_dim=7, output_loading_info=True
        )
    assert first(model).shape == (2, 7)
    assert np.abs(first(model)).max() > 0
    assert info["missing_keys"] == ["ctx_encoder.encode_proj.bias", "ctx_encoder.encode_proj.weight"]
    assert "encode_proj/kernel" in caplog.text


def test_a_given_configuration_may_ask_for_more_than_the_checkpoints_own(tmp_path):
    plain = folder("formats/ctx-safetensors")
    wanted = DPRConfig.from_pretrained(plain, projection_dim=7)
    wanted.save_pretrained(tmp_path)
    for config in (wanted, tmp_path):
        model, info = TFDPRContextEncoder.from_pretrained(plain, config=config, output_loading_info=True)
        assert first(model).shape == (2, 7)
        assert info["missing_keys"] == ["ctx_encoder.encode_proj.bias", "ctx_encoder.encode_proj.weight"]
    # Its own asks for the projection: the file is incomplete, whatever configuration is given.
    shutil.copy(plain / "model.safetensors", tmp_path)
    with pytest.raises(ValueError, match="2 weights are missing"):
        TFDPRContextEncoder.from_pretrained(tmp_path, config=wanted)


def test_dtype(kind):
    plain = KINDS[kind].from_pretrained(folder(f"formats/{kind}-safetensors"))
    half = KINDS[kind].from_pretrained(folder(f"formats/{kind}-safetensors"), dtype="bfloat16")
    assert {weight.dtype for weight in half.weights} == {"bfloat16"}
    np.testing.assert_allclose(first(half).astype("float32"), first(plain), atol=0.2)


@pytest.mark.parametrize(
    ("cls", "name", "remedy"),
    [
        (TFDPRQuestionEncoder, "formats/ctx-safetensors", "TFDPRContextEncoder"),
        (TFDPRContextEncoder, "formats/question-safetensors", "TFDPRQuestionEncoder"),
        (TFDPRContextEncoder, "formats/reader-safetensors", "TFDPRReader"),
        (TFDPRReader, "formats/ctx-safetensors", "TFDPRContextEncoder"),
        (TFDPRContextEncoder, "bad/plain-bert", "init_from_bert"),
    ],
)
def test_a_role_mix_up_names_the_remedy(cls, name, remedy):
    with pytest.raises(ValueError, match=remedy):
        cls.from_pretrained(folder(name))


def test_nothing_there(tmp_path):
    with pytest.raises(OSError, match=r"config\.json|model\.safetensors"):
        TFDPRReader.from_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"neither|no folder|There is no"):
        TFDPRReader.from_pretrained(tmp_path / "not-here")


def test_mismatched_sizes():
    path = folder("bad/wrong-shape")
    kind = "question"
    with pytest.raises(ValueError, match=r"\(.*\)"):
        KINDS[kind].from_pretrained(path)
    model, info = KINDS[kind].from_pretrained(path, ignore_mismatched_sizes=True, output_loading_info=True)
    assert info["mismatched_keys"]
    assert np.isfinite(first(model)).all()


def test_extra_weights_are_named_in_one_warning():
    with pytest.warns(UserWarning, match="extra") as caught:
        KINDS["question"].from_pretrained(folder("bad/extra-key"))
    assert len(caught) == 1


BAD = sorted({entry.parent.name for entry in folder("bad").glob("*/*")})
# These load: what is odd about them is harmless or said in a warning.
FINE = {
    "control-question", "control-reader", "config-extra-fields", "config-no-model-type",
    "config-unknown-model-type", "config-utf8-bom", "extra-key", "double-weights", "nan-weights",
    "safetensors-no-metadata",
    "safetensors-unknown-format",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_checkpoints_end_in_a_clear_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # hostile files would leave a trace here
    path = folder(f"bad/{name}")
    path = path / "checkpoint.cp" if (path / "checkpoint.cp").is_file() else path
    cls = (
        TFDPRReader
        if "reader" in name
        else TFDPRContextEncoder
        if name == "wrong-kind"
        else TFDPRQuestionEncoder
    )
    before = set(path.parent.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            outcome = cls.from_pretrained(path)
        except (OSError, ValueError) as error:
            outcome = error
    if isinstance(outcome, Exception):
        assert name not in FINE, outcome
        assert len(str(outcome)) > 40
    else:
        assert name in FINE
    assert set(path.parent.rglob("*")) == before
    assert not list(tmp_path.iterdir())


# -------------------------------------------------------------------------------------------------- saving


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"max_shard_size": "8KB"},
        {"safe_serialization": False},
        {"safe_serialization": False, "max_shard_size": "8KB"},
    ],
)
def test_save_and_load(model, tmp_path, arguments):
    model.save_pretrained(tmp_path, **arguments)
    names = sorted(path.name for path in tmp_path.iterdir())
    stem = "tf_model" if arguments.get("safe_serialization") is False else "model"
    suffix = ".h5" if stem == "tf_model" else ".safetensors"
    assert (
        f"{stem}{suffix}.index.json" in names
        if "max_shard_size" in arguments
        else names == ["config.json", stem + suffix]
    )
    other, info = type(model).from_pretrained(tmp_path, output_loading_info=True)
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    np.testing.assert_array_equal(first(other), first(model))
    architectures = json.loads((tmp_path / "config.json").read_text())["architectures"]
    assert architectures == [type(model).__name__.removeprefix("TF")]


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
@pytest.mark.parametrize("safe", [True, False])
def test_refuses_to_save_weights_that_were_made_integers(model, tmp_path, safe):
    model.quantize("int8")
    with pytest.raises(ValueError, match="kernel: floating point expected, found int8"):
        model.save_pretrained(tmp_path / "new", safe_serialization=safe)
    assert not (tmp_path / "new").exists()


def test_saving_again_replaces_what_was_there(model, tmp_path):
    model.save_pretrained(tmp_path, max_shard_size="8KB")
    model.weights[0].assign(ops.zeros_like(model.weights[0]))
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    np.testing.assert_array_equal(first(type(model).from_pretrained(tmp_path)), first(model))


def test_weights_of_an_earlier_save_that_would_be_read_instead_are_named(tmp_path, caplog):
    model = TFDPRReader.from_pretrained(folder("formats/reader-safetensors"))
    with caplog.at_level(logging.WARNING):
        model.save_pretrained(tmp_path, safe_serialization=False)
        model.save_pretrained(tmp_path)  # is read before tf_model.h5
        assert not caplog.records
        model.save_pretrained(tmp_path, safe_serialization=False)
        assert "also holds model.safetensors" in caplog.text
        (tmp_path / "pytorch_model.bin").write_bytes(b"")
        model.save_pretrained(tmp_path)
        assert "also holds pytorch_model.bin" in caplog.text


def test_saving_leaves_the_models_configuration_alone(model, tmp_path):
    model.config.architectures = ["Something"]
    model.save_pretrained(tmp_path)
    assert model.config.architectures == ["Something"]


def test_saving_onto_a_file_is_refused(model, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="is a file"):
        model.save_pretrained(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "x"


def test_a_resized_model_survives(tmp_path):
    model = TFDPRContextEncoder.from_pretrained(folder("formats/ctx-safetensors"))
    model.resize_token_embeddings(170)
    model.save_pretrained(tmp_path)
    other = TFDPRContextEncoder.from_pretrained(tmp_path)
    assert other.config.vocab_size == 170
    np.testing.assert_array_equal(first(other), first(model))


# --------------------------------------------------------------------------------------------------- from
# BERT


@pytest.mark.parametrize("cls", KINDS.values())
def test_init_from_bert(cls):
    heads = {"projection_dim": 5} if cls is not TFDPRReader else {}
    model, info = cls.init_from_bert(folder("bad/plain-bert"), output_loading_info=True, **heads)
    fresh = {path.split("/")[-2] for path in info["initialised"]}
    assert fresh == ({"qa_outputs", "qa_classifier"} if cls is TFDPRReader else {"encode_proj"})
    assert np.abs(first(model)).max() > 0
    source = files.read_checkpoint(folder("bad/plain-bert"))
    table = next(array.read() for key, array in source.items() if key.endswith("word_embeddings.weight"))
    np.testing.assert_array_equal(model.get_input_embeddings().embeddings, table)


def test_init_from_bert_takes_the_bert_of_a_dpr_model():
    source = TFDPRContextEncoder.from_pretrained(folder("formats/ctx-safetensors"))
    model = TFDPRQuestionEncoder.init_from_bert(folder("formats/ctx-safetensors"))
    np.testing.assert_array_equal(first(model), first(source))


# --------------------------------------------------------------------------------------------------- files


def test_an_original_checkpoint_without_a_configuration(tmp_path):
    source = folder("original/biencoder-namedtuple/checkpoint.cp")
    shutil.copyfile(source, tmp_path / "dpr_biencoder.39")
    wanted = DPRConfig.from_pretrained(source.parent)
    model = TFDPRQuestionEncoder.from_pretrained(
        tmp_path / "dpr_biencoder.39", num_attention_heads=wanted.num_attention_heads
    )
    for field in ("hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size", "projection_dim"):
        assert getattr(model.config, field) == getattr(wanted, field)


# ----------------------------------------------------------------------------------------------------- hub


def test_hub_models_and_their_shards(monkeypatch, tmp_path):
    monkeypatch.setattr(dpr_tf.hub, "_no_connection_until", 0.0)
    model = TFDPRReader.from_pretrained(folder("formats/reader-safetensors"))
    model.save_pretrained(tmp_path / "sharded", max_shard_size="8KB")
    with fake_hub.serve(monkeypatch, tmp_path) as server:
        server.add_folder("owner/reader", folder("formats/reader-safetensors"))
        server.add_folder("owner/sharded", tmp_path / "sharded", revision="v1")
        np.testing.assert_array_equal(first(TFDPRReader.from_pretrained("owner/reader")), first(model))
        np.testing.assert_array_equal(
            first(TFDPRReader.from_pretrained("owner/sharded", revision="v1")), first(model)
        )
        with pytest.raises(OSError, match="owner/nothing"):
            TFDPRReader.from_pretrained("owner/nothing")
        server.down = True
        cached = TFDPRReader.from_pretrained("owner/reader", local_files_only=True)
        np.testing.assert_array_equal(first(cached), first(model))


def test_push_to_hub(monkeypatch, tmp_path):
    monkeypatch.setattr(dpr_tf.hub, "_no_connection_until", 0.0)
    model = TFDPRReader.from_pretrained(folder("formats/reader-safetensors"))
    with fake_hub.serve(monkeypatch, tmp_path) as server:
        url = model.push_to_hub("owner/mine", token=fake_hub.TOKEN, commit_message="First")
        assert url.startswith(server.url)
        assert set(server.files["owner/mine", "main"]) >= {"config.json", "model.safetensors"}
        np.testing.assert_array_equal(first(TFDPRReader.from_pretrained("owner/mine")), first(model))
        model.push_to_hub("owner/old", True, "As in v4.34", None, "8KB", None, fake_hub.TOKEN)
        assert "model.safetensors.index.json" in server.files["owner/old", "main"]


def test_saving_and_pushing_uploads_what_was_saved_and_nothing_else(monkeypatch, tmp_path):
    monkeypatch.setattr(dpr_tf.hub, "_no_connection_until", 0.0)
    model = TFDPRReader.from_pretrained(folder("formats/reader-safetensors"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/passwords.txt").write_text("secret")
    monkeypatch.chdir(tmp_path / "mine")
    with fake_hub.serve(monkeypatch, tmp_path) as server:
        model.save_pretrained(".", push_to_hub=True, token=fake_hub.TOKEN, saved_model=True)
        (name,) = {name for name, _ in server.files}
        uploaded = set(server.files[name, "main"]) - {".gitattributes"}
    assert name.split("/")[-1] == "mine"
    assert {"config.json", "model.safetensors", "saved_model/1/saved_model.pb"} <= uploaded
    assert "passwords.txt" not in uploaded
