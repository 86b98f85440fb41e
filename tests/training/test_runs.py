"""The folder of a training run: its log, and what the log says of the epochs."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from dpr_tf.training import runs


def test_log_is_whole_after_each_epoch(tmp_path):
    model = SimpleNamespace(optimizer=SimpleNamespace(learning_rate=keras.ops.convert_to_tensor(0.25)))
    log = runs.EpochLog(tmp_path / "training.jsonl")
    log.set_model(model)
    shown = {"loss": np.float32(2.0)}
    log.on_epoch_end(0, shown)
    log.on_epoch_end(1, {"loss": 1.0})
    assert shown["learning_rate"] == 0.25
    lines = [
        {"epoch": 1, "loss": 2.0, "learning_rate": 0.25},
        {"epoch": 2, "loss": 1.0, "learning_rate": 0.25},
    ]
    assert [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()] == lines
    # A run that goes on from the state behind epoch 1 forgets what came after it.
    again = runs.EpochLog(tmp_path / "training.jsonl")
    again.set_model(model)
    again.lines = log.lines[:1]
    again.on_epoch_end(1, {"loss": 1.0})
    assert [json.loads(line) for line in (tmp_path / "training.jsonl").read_text().splitlines()] == lines


def test_a_folder_is_a_run_from_the_beginning(tmp_path):
    folder = tmp_path / "new" / "run"
    runs.check_folder(folder)
    runs.EpochLog(folder / runs.LOG).on_train_begin()
    (folder / "config.json").touch()
    runs.check_folder(folder)
    (folder / runs.LOG).unlink()
    with pytest.raises(FileExistsError, match="something else"):
        runs.check_folder(folder)


@pytest.mark.parametrize(
    ("measure", "best"),
    [(None, 4), (runs.Measure("loss", "min"), 2), (runs.Measure("loss", "max"), 1)],
)
def test_the_best_epoch_is_the_first_of_equals_and_never_nan(tmp_path, measure, best):
    losses = [3.0, 1.0, 1.0, float("nan")]
    lines = [{"epoch": epoch + 1, "loss": loss} for epoch, loss in enumerate(losses)]
    (tmp_path / runs.LOG).write_text("".join(json.dumps(line) + "\n" for line in lines))
    found, chosen = runs.read_log(tmp_path, measure)
    assert [line["epoch"] for line in found] == [1, 2, 3, 4]
    assert chosen["epoch"] == best
