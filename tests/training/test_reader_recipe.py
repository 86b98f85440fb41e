"""A reader trained from files: what comes out, and that a run that was cut off ends as one that was not."""

import json

import numpy as np
import pytest
from reader_questions import retrieved
from small_words import save_checkpoints

from dpr_tf.checkpoints import load_checkpoint
from dpr_tf.data import read_retrieved, write_retrieved
from dpr_tf.reading import Reader
from dpr_tf.training.reader_recipe import TrainedReader, explain_reader_training, train_reader
from dpr_tf.training.reader_validation import ExactMatch, score_reader

SETTINGS = {
    "epochs": 2,
    "batch_size": 3,
    "passages": 3,
    "learning_rate": 1e-2,
    "dev_passages": 4,
    "seed": 3,
    "save_every": 1,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a reader to start from, training files and a dev file."""
    folder = save_checkpoints(tmp_path_factory.mktemp("recipe"))
    (folder / "reader").rename(folder / "start")
    questions = retrieved(12)
    write_retrieved(folder / "one.json", questions[:5])
    write_retrieved(folder / "two.jsonl", [*questions[5:], questions[0]._replace(answers=("nothing",))])
    write_retrieved(folder / "dev.json", retrieved(5, seed=1))
    return folder


def train(files, output, **changed):
    return train_reader(
        str(files / "start"),
        [str(files / "one.json"), str(files / "two.jsonl")],
        str(output),
        **{"dev": str(files / "dev.json"), **SETTINGS, **changed},
    )


@pytest.fixture(scope="module")
def undisturbed(files):
    return train(files, files / "reader", explain=str(files / "explained.jsonl"))


def test_trains_a_reader_that_can_be_loaded(files, undisturbed):
    assert (undisturbed.epochs, undisturbed.questions.questions, undisturbed.questions.kept) == (2, 13, 12)
    assert undisturbed.questions.without_passage == 1
    assert np.isfinite(undisturbed.loss)
    model, tokenizer = load_checkpoint("reader", files / "reader")
    scores = score_reader(Reader(model, tokenizer), read_retrieved(files / "dev.json"), 4)
    assert scores.exact_match == undisturbed.exact_match
    assert f"epoch {undisturbed.best_epoch} of 2, exact match" in str(undisturbed)
    assert "12 questions, 1 left out" in str(undisturbed)


def test_explains_every_question(files, undisturbed):
    lines = (files / "explained.jsonl").read_text(encoding="utf-8").splitlines()
    explained = [json.loads(line) for line in lines]
    assert len(explained) == 13
    assert [line["dropped"] for line in explained] == [None] * 12 + ["no passage contains an answer"]
    both = [str(files / "one.json"), str(files / "two.jsonl")]
    counts = explain_reader_training(str(files / "start"), both, str(files / "again.jsonl"), max_length=40)
    assert counts == undisturbed.questions
    assert (files / "again.jsonl").read_text(encoding="utf-8").splitlines() == lines


def test_goes_on_where_it_was_cut_off(files, undisturbed, monkeypatch):
    seen = []

    def interrupt(self, batch, logs=None):
        seen.append(batch)
        if len(seen) == 6:  # the second of the second epoch's four
            raise KeyboardInterrupt

    output = files / "interrupted"
    monkeypatch.setattr(ExactMatch, "on_train_batch_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(files, output)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"is the state of another run \(seed: 3 there, 4 here\)"):
        train(files, output, seed=4)
    found = train(files, output)
    assert found == undisturbed._replace(output=str(output))
    whole = (files / "reader" / "model.safetensors").read_bytes()
    assert (output / "model.safetensors").read_bytes() == whole
    assert train(files, output) == found  # finished: nothing is trained
    assert isinstance(found, TrainedReader)


def test_refuses_a_folder_with_something_else(files):
    with pytest.raises(FileExistsError, match="start holds something else than a training run"):
        train(files, files / "start")
