"""The name table: complete, reversible, and each dialect recognised by how its names begin."""

import json
import re
from types import SimpleNamespace

import checkpoint_archive
import h5py
import pytest

from dpr_tf.weights import files, names

HEADS = ("ctx_encoder", "question_encoder", "reader")
CONFIG = SimpleNamespace(num_hidden_layers=3, projection_dim=5, position_embedding_type="relative_key")


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("column", ["keras", "torch", "tf"])
def test_names_are_unique(head, column):
    rows = names.rows(CONFIG, head)
    assert len({getattr(row, column) for row in rows}) == len(rows)


def test_the_table_has_27_rows_and_one_for_relative_positions():
    # 5 embeddings, 16 per block, 2 for the projection, 4 for the reader
    table = names.EMBEDDING_ROWS + names.BLOCK_ROWS + names.PROJECTION_ROWS + names.READER_ROWS
    assert len(table) == 27
    assert len(names.RELATIVE_ROWS) == 1
    # 3 blocks: 5 + 3 * 17 + 2 + 4
    assert len(names.rows(CONFIG, "reader")) == 62


def test_what_the_configuration_leaves_out():
    plain = SimpleNamespace(num_hidden_layers=3, projection_dim=0)
    paths = [row.keras for row in names.rows(plain, "ctx_encoder")]
    assert len(paths) == 5 + 3 * 16
    assert not [path for path in paths if "encode_proj" in path or "distance" in path]


def test_kernels_and_nothing_else_are_transposed():
    for row in names.rows(CONFIG, "reader"):
        assert (row.op == names.TRANSPOSE) == row.keras.endswith("/kernel")
        assert len(row.axes) == (1 if row.keras.endswith(("bias", "gamma", "beta")) else 2)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("family", ["pt", "tf"])
def test_each_name_is_recognised_as_its_own_row(head, family):
    for row in names.rows(CONFIG, head):
        key = row.torch if family == "pt" else row.tf
        name = names.recognise([key], family)[key]
        assert (name.part, name.role) == (names.row_part(row, family), head)


@pytest.mark.parametrize(
    "entry",
    [entry for entry in checkpoint_archive.index() if entry["family"] in ("arch", "v5")],
    ids=lambda entry: entry["path"].removeprefix("checkpoints/"),
)
def test_rows_are_exactly_the_keys_that_hugging_face_writes(entry, recorded):
    path = checkpoint_archive.root() / entry["path"]
    config = SimpleNamespace(**json.loads((path / "config.json").read_text()))
    head = {"ctx": "ctx_encoder", "question": "question_encoder", "reader": "reader"}[entry["kind"]]
    assert sorted(row.torch for row in names.rows(config, head)) == sorted(files.read_checkpoint(path))


def test_tensorflow_names_and_their_order_are_those_of_v434(recorded):
    path = recorded("formats/reader-h5")
    config = SimpleNamespace(**json.loads((path / "config.json").read_text()))
    scope = names.TF_SCOPE["reader"]
    ours = [f"{scope}/{row.tf}" for row in names.rows(config, "reader")]
    with h5py.File(path / "tf_model.h5") as file:
        assert ours == list(file["span_predictor"].attrs["weight_names"])


@pytest.mark.parametrize(
    ("key", "part", "role"),
    [
        ("ctx_encoder.bert_model.pooler.dense.bias", "bert_model.pooler.dense.bias", "ctx_encoder"),
        ("bert_model.embeddings.LayerNorm.gamma", "bert_model.embeddings.LayerNorm.weight", "encoder"),
        ("encode_proj.bias", "encode_proj.bias", "encoder"),
        ("encoder.bert_model.embeddings.LayerNorm.beta", "bert_model.embeddings.LayerNorm.bias", "reader"),
        ("question_model.encode_proj.weight", "encode_proj.weight", "question_encoder"),
        ("ctx_model.embeddings.position_ids", "bert_model.embeddings.position_ids", "ctx_encoder"),
        (
            "encoder.encoder.layer.7.output.dense.bias",
            "bert_model.encoder.layer.7.output.dense.bias",
            "reader",
        ),
        ("encoder.layer.7.output.dense.bias", "bert_model.encoder.layer.7.output.dense.bias", "bert"),
        ("bert.embeddings.position_ids", "bert_model.embeddings.position_ids", "bert"),
        ("qa_outputs.bias", "qa_outputs.bias", "reader"),
    ],
)
def test_pytorch_dialects(key, part, role):
    name = names.recognise([key], "pt")[key]
    assert (name.part, name.role) == (part, role)


@pytest.mark.parametrize(
    ("key", "part", "role"),
    [
        ("ctx_encoder/encode_proj/bias:0", "encode_proj/bias", "ctx_encoder"),
        ("tf_dpr_ctx_1/ctx_encoder/encode_proj/bias:0", "encode_proj/bias", "ctx_encoder"),
        ("tfdpr_reader/span_predictor/qa_outputs/bias:0", "qa_outputs/bias", "reader"),
        (
            "tf_bert_model/bert/embeddings/word_embeddings/embeddings:0",
            "bert_model/embeddings/word_embeddings/weight",
            "bert",
        ),
        ("tf_bert_for_pre_training/nsp___cls/seq_relationship/bias:0", "cls/seq_relationship/bias", "bert"),
    ],
)
def test_tensorflow_dialects(key, part, role):
    name = names.recognise([key], "tf")[key]
    assert (name.part, name.role) == (part, role)


def test_the_front_of_data_parallel_training_is_dropped():
    keys = ["module.ctx_encoder.encode_proj.bias", "module.ctx_encoder.encode_proj.weight"]
    assert [name.part for name in names.recognise(keys, "pt").values()] == [
        "encode_proj.bias",
        "encode_proj.weight",
    ]


def test_unknown_names_are_unknown():
    assert names.recognise(["lm_head.weight", "", "roberta.x"], "pt") == {
        "lm_head.weight": None,
        "": None,
        "roberta.x": None,
    }
    assert names.recognise(["a/b/c:0"], "tf") == {"a/b/c:0": None}


def test_ignored_parts_have_a_reason_and_weights_have_none():
    assert "CLS" in names.ignored_reason("bert_model.pooler.dense.weight")
    assert "CLS" in names.ignored_reason("bert_model/pooler/dense/kernel")
    assert names.ignored_reason("bert_model.embeddings.position_ids")
    for row in names.rows(CONFIG, "reader"):
        assert names.ignored_reason(names.row_part(row, "pt")) is None
    assert all(re.compile(pattern) and reason for pattern, reason in names.IGNORED.items())
