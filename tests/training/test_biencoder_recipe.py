"""From files to two checkpoints: what is written, that a cut run ends the same, and the guards."""

import importlib.util
import json

import keras
import numpy as np
import pytest
from small_examples import EXAMPLES
from small_words import VOCABULARY, save_checkpoints

from dpr_tf import (
    DPRContextEncoderTokenizerFast,
    DPRQuestionEncoderTokenizerFast,
    TFDPRContextEncoder,
    TFDPRQuestionEncoder,
)
from dpr_tf.data import write_examples
from dpr_tf.training import biencoder_recipe, runs
from dpr_tf.training.biencoder_recipe import train_biencoder
from dpr_tf.training.runs import EpochLog
from dpr_tf.weights.arrays import LazyArray
from dpr_tf.weights.safetensors import read_safetensors, write_safetensors_file

ROLES = {"question_encoder": TFDPRQuestionEncoder, "context_encoder": TFDPRContextEncoder}


class Cut(Exception):
    """Training ends here."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Checkpoints of both encoders, and a plain BERT; files of examples."""
    folder = save_checkpoints(tmp_path_factory.mktemp("start"))
    bert = folder / "bert"
    bert.mkdir()
    for name in ("config.json", "vocab.txt", "tokenizer_config.json"):
        (bert / name).write_bytes((folder / "question_encoder" / name).read_bytes())
    prefix = "question_encoder.bert_model."
    weights = read_safetensors(folder / "question_encoder" / "model.safetensors")
    plain = {name.removeprefix(prefix): array for name, array in weights.items()}
    plain["pooler.dense.bias"] = LazyArray((10,), np.float32, lambda: np.zeros(10, np.float32))
    write_safetensors_file(bert / "model.safetensors", plain, {"format": "pt"})
    write_examples(folder / "train.json.gz", EXAMPLES * 3)
    write_examples(folder / "dev.jsonl", EXAMPLES)
    return folder


@pytest.fixture
def train(folder, tmp_path):
    """Trains on the examples, with few updates."""

    def train(output="run", **options):
        start = {} if "bert" in options else {role: str(folder / role) for role in ROLES}
        sizes = {"batch_size": 4, "epochs": 4, "learning_rate": 0.01, "max_length": 16}
        return train_biencoder(
            [str(folder / "train.json.gz")], str(tmp_path / output), **start | sizes | options
        )

    return train


def load(folder):
    return [cls.from_pretrained(folder / role) for role, cls in ROLES.items()]


def test_a_run_and_one_that_is_cut_in_its_middle(train, folder, tmp_path, monkeypatch):
    options = {"dev": [str(folder / "dev.jsonl")], "monitor": "rank", "patience": 3, "save_every": 2}
    found = train("whole", **options)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "training.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == list(range(1, found.epochs + 1))
    ranks = [line["val_pool_rank"] for line in lines]
    assert (found.best_epoch, found.rank) == (1 + int(np.argmin(ranks)), min(ranks))
    assert found.nll == lines[found.best_epoch - 1]["val_loss"]
    assert lines[-1]["loss"] == found.loss < lines[0]["loss"]
    assert lines[0]["ignored"] > 0
    assert (found.questions, found.without_positive) == (12, 3)
    assert str(found).startswith(f"{tmp_path / 'whole'}: epoch {found.best_epoch} of {found.epochs}, NLL ")
    load(tmp_path / "whole")
    assert len(
        DPRQuestionEncoderTokenizerFast.from_pretrained(tmp_path / "whole" / "question_encoder")
    ) == len(VOCABULARY)
    assert len(DPRContextEncoderTokenizerFast.from_pretrained(tmp_path / "whole" / "context_encoder")) == len(
        VOCABULARY
    )

    batches = iter(range(100))

    def cut(self, batch, logs=None):
        if next(batches) == 7:  # the second of three in epoch 3
            raise Cut

    with monkeypatch.context() as patch:
        patch.setattr(EpochLog, "on_train_batch_end", cut)
        with pytest.raises(Cut):
            train("cut", **options)
    assert train("cut", **options)._replace(output="") == found._replace(output="")
    for name in ("question_encoder/model.safetensors", "context_encoder/model.safetensors", "training.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    # What is done is done: a third time, only the record is given.
    monkeypatch.setattr(keras.Model, "fit", None)
    assert train("cut", **options)._replace(output="") == found._replace(output="")
    with pytest.raises(ValueError, match=r"state of another run .*learning_rate: 0.01 there, 0.02 here"):
        train("cut", **options, learning_rate=0.02)


def test_one_shared_encoder_with_adapters_in_chunks(train, folder, tmp_path):
    found = train(shared=True, lora=2, chunk_size=3, bert=str(folder / "bert"))
    assert (found.best_epoch, found.nll, found.rank) == (4, None, None)
    question, context = load(tmp_path / "run")
    start = TFDPRQuestionEncoder.from_pretrained(folder / "question_encoder")
    changed = 0
    for mine, other, before in zip(question.weights, context.weights, start.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy())
        adapted = mine.path.endswith(("query/kernel", "value/kernel"))
        assert bool(np.abs(mine.numpy() - before.numpy()).max() > 1e-4) == adapted
        changed += adapted
    assert changed == 2


def test_a_frozen_encoder_is_not_trained(train, monkeypatch):
    seen = []
    monkeypatch.setattr(runs, "fit", lambda model, *rest: seen.append(model))
    monkeypatch.setattr(biencoder_recipe, "_reported", lambda *rest: None)
    train(frozen="context_encoder", token_types="tokenizer")
    trained = {weight.path.split("/")[1] for weight in seen[0].trainable_weights}
    assert trained == {"question_encoder"}
    train(output="other", frozen="question_encoder", lora=3)
    assert all("ctx_encoder" in w.path and "lora" in w.path for w in seen[1].trainable_weights)
    assert len(seen[1].trainable_weights) == 4


def test_logs_for_tensorboard_need_the_package(tmp_path, monkeypatch):
    def callbacks():
        return biencoder_recipe._callbacks(str(tmp_path), None, None, True, lambda: None)

    if importlib.util.find_spec("tensorboard"):
        assert isinstance(callbacks()[-1], keras.callbacks.TensorBoard)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "dpr_tf\[tensorboard\]"'):
        callbacks()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question_encoder": None}, "expected bert, .* or both question_encoder and context_encoder"),
        ({"monitor": "rank"}, "monitor='rank' needs dev examples"),
        ({"monitor": "loss"}, "monitor='loss': expected one of nll, rank"),
        ({"frozen": "reader"}, "frozen='reader': expected one of question_encoder, context_encoder"),
        ({"frozen": "context_encoder", "shared": True}, "encoders that are not shared"),
        ({"batch_size": 1, "hard_negatives": 0}, "batch_size=1 without hard negatives"),
    ],
)
def test_refuses_what_makes_no_sense(train, options, message):
    with pytest.raises(ValueError, match=message):
        train(**options)


def test_refuses_encoders_in_each_others_role(train, folder):
    with pytest.raises(ValueError, match="is a context encoder checkpoint: use TFDPRContextEncoder"):
        train(
            bert=None, question_encoder=str(folder / "context_encoder"), context_encoder=str(folder / "bert")
        )


def test_refuses_a_folder_of_something_else(train, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    with pytest.raises(FileExistsError, match="holds something else than a training run"):
        train()
