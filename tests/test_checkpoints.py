"""Checkpoints by role: told by their weights, converted, exported, and whole or not there."""

import json
import shutil

import checkpoint_archive
import numpy as np
import pytest
from small_words import VOCABULARY, save_checkpoints

from dpr_tf.checkpoints import ROLES, classes, convert, export, load_checkpoint, load_to_train, recognise_role
from dpr_tf.weights.files import read_checkpoint

ROLE_OF_KIND = {"ctx": "context_encoder", "question": "question_encoder", "reader": "reader"}
FORMATS = [entry for entry in checkpoint_archive.index() if entry["family"] in ("format", "v5")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_checkpoints(tmp_path_factory.mktemp("checkpoints"))


@pytest.fixture(scope="module")
def original():
    return checkpoint_archive.root() / "checkpoints/original/biencoder-dict-legacy/checkpoint.cp"


@pytest.mark.parametrize("entry", FORMATS, ids=lambda entry: entry["path"])
def test_recognises_the_role_in_every_format(entry):
    assert recognise_role(checkpoint_archive.root() / entry["path"]) == ROLE_OF_KIND[entry["kind"]]


def test_says_why_a_role_cannot_be_recognised(original, tmp_path):
    bad = checkpoint_archive.root() / "checkpoints/bad"
    with pytest.raises(ValueError, match="holds more than one model: choose the role, context_encoder or"):
        recognise_role(original)
    with pytest.raises(ValueError, match="holds plain BERT, which has to be trained first"):
        recognise_role(bad / "plain-bert")
    source = checkpoint_archive.root() / "checkpoints/formats/ctx-bin-noprefix"
    shutil.copy(source / "pytorch_model.bin", tmp_path)
    with pytest.raises(ValueError, match="holds an encoder of one of them: choose the role"):
        recognise_role(tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_converts_and_keeps_the_outputs(folder, tmp_path, role):
    ids = np.array([[2, 7, 9, 3]])
    before = classes(role)[0].from_pretrained(folder / role)(ids)[0]
    done = convert(str(folder / role), str(tmp_path / "h5"), format="h5")
    again = convert(str(tmp_path / "h5"), str(tmp_path / "again"))
    model, tokenizer = load_checkpoint(role, tmp_path / "again")
    np.testing.assert_array_equal(model(ids)[0], before)
    assert len(tokenizer) == len(VOCABULARY)
    assert (done.role, again.has_tokenizer, again.dtype) == (role, True, "float32")
    assert done.parameters == model.count_params()
    assert {path.name for path in (tmp_path / "h5").iterdir()} >= {"config.json", "tf_model.h5"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "h5"]  # nothing is left aside


def test_converts_each_encoder_of_an_original_file(folder, original, tmp_path):
    for role in ROLES[:2]:
        done = convert(str(original), str(tmp_path / role), role=role, dtype="bfloat16")
        assert (done.has_tokenizer, recognise_role(tmp_path / role)) == (False, role)
        arrays = read_checkpoint(tmp_path / role)
        assert {str(array.dtype) for array in arrays.values()} == {"bfloat16"}
    assert "without a tokenizer: none was found" in str(done)


def test_takes_the_tokenizer_from_elsewhere_and_checks_it(folder, original, tmp_path):
    with pytest.raises(ValueError, match=r"reader .*: the tokenizer has 90 tokens, the model"):
        convert(str(folder / "reader"), str(tmp_path / "new"), tokenizer=str(_larger(tmp_path)))
    with pytest.raises(OSError, match=r"tokenizer\.json or vocab\.txt"):
        convert(str(folder / "reader"), str(tmp_path / "new"), tokenizer=str(tmp_path))
    assert not (tmp_path / "new").exists()


def _larger(tmp_path):
    place = tmp_path / "tokenizer"
    place.mkdir()
    words = [*VOCABULARY[:5], *(f"w{number}" for number in range(85))]
    (place / "vocab.txt").write_text("\n".join(words) + "\n")
    return place


def test_never_writes_over_something(folder, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not an empty folder; name a new folder"):
        convert(str(folder / "reader"), str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_ctrl_c_leaves_nothing(folder, tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(classes("reader")[0], "save_pretrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        convert(str(folder / "reader"), str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_exports_what_serves_the_same(folder, tmp_path):
    import tensorflow as tf

    done = export(str(folder / "reader"), str(tmp_path / "reader" / "1"))
    assert done.role == "reader"
    ids = np.array([[2, 7, 9, 3]], np.int32)
    serve = tf.saved_model.load(str(tmp_path / "reader" / "1")).signatures["serving_default"]
    served = serve(input_ids=tf.constant(ids), attention_mask=tf.ones_like(ids))
    wanted = load_checkpoint("reader", folder / "reader")[0](ids)
    np.testing.assert_allclose(served["start_logits"], wanted.start_logits, atol=1e-5)


def test_loads_what_to_train_from(folder, tmp_path):
    bert = shutil.copytree(checkpoint_archive.root() / "checkpoints/bad/plain-bert", tmp_path / "bert")
    shutil.copy(folder / "reader" / "vocab.txt", bert)
    encoder, tokenizer = load_to_train("context_encoder", bert, dtype="mixed_bfloat16", projection_dim=6)
    assert (encoder.dtype_policy.name, encoder.config.projection_dim, len(tokenizer)) == (
        "mixed_bfloat16",
        6,
        len(VOCABULARY),
    )
    saved = read_checkpoint(bert / "pytorch_model.bin")
    (words,) = [saved[name] for name in saved if name.endswith("word_embeddings.weight")]
    np.testing.assert_array_equal(encoder.get_input_embeddings().embeddings, words.read())
    reader = load_to_train("reader", folder / "reader")[0]
    for weight, expected in zip(
        reader.weights, load_checkpoint("reader", folder / "reader")[0].weights, strict=True
    ):
        np.testing.assert_array_equal(weight, expected)
    with pytest.raises(ValueError, match="this is a reader checkpoint: use TFDPRReader"):
        load_to_train("question_encoder", folder / "reader")


def test_an_unknown_role_is_named():
    with pytest.raises(ValueError, match="role='ctx': expected one of context_encoder, question_encoder"):
        classes("ctx")


def test_the_configuration_beside_a_file_counts(tmp_path):
    source = checkpoint_archive.root() / "checkpoints/formats/question-bin-noprefix"
    shutil.copytree(source, tmp_path / "copy")
    assert recognise_role(tmp_path / "copy" / "pytorch_model.bin") == "question_encoder"
    configuration = json.loads((tmp_path / "copy" / "config.json").read_text())
    configuration["architectures"] = ["TFDPRContextEncoder"]
    (tmp_path / "copy" / "config.json").write_text(json.dumps(configuration))
    assert recognise_role(tmp_path / "copy") == "context_encoder"
