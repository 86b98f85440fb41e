"""A training run in a folder, whatever is trained: log, state, and the checkpoint of the best epoch."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import keras

from dpr_tf.data.files import written_text
from dpr_tf.training.best import BestCheckpoint
from dpr_tf.training.resume import Resume

STATE, LOG = "training_state.safetensors", "training.jsonl"


class Measure(NamedTuple):
    """What tells which epoch is the best.

    Attributes:
        name: as `fit` reports it.
        mode: "max" if more is better, "min" if less is.
    """

    name: str
    mode: Literal["max", "min"]


class EpochLog(keras.callbacks.Callback):
    """Writes what `fit` reports of each epoch, and the learning rate, as JSON lines.

    Give it behind the callbacks that measure and before those that show.

    Args:
        path: of the file, which is whole at any time, and there from the beginning; its folder is made.

    Attributes:
        lines: the epochs so far; a run that goes on after a kill remembers them.
    """

    remembered = ("lines",)

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__()
        self._path = Path(path)
        self.lines: list[dict[str, Any]] = []

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Marks the folder as that of a run."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Writes the epochs so far; adds the learning rate to what `fit` reports."""
        logs = {} if logs is None else logs
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        self.lines.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})
        with written_text(self._path) as file:
            file.writelines(json.dumps(line) + "\n" for line in self.lines)


def check_folder(output: str) -> None:
    """Refuses a folder that holds something else than a run.

    Raises:
        FileExistsError: for such a folder.
    """
    folder = Path(output)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / LOG).exists():
        raise FileExistsError(f"{output} holds something else than a training run; name a new folder")


def keeping(measure: Measure | None, save: Callable[[], None]) -> keras.callbacks.Callback:
    """A callback that saves at the end of each epoch that is the best so far; without a measure, of each."""
    if measure is None:
        return keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: save())
    return BestCheckpoint(*measure, save)


def fit(
    model: keras.Model,
    batches: Any,
    epochs: int,
    output: str,
    run: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
    save_every: int,
    validation: Any = None,
) -> None:
    """Trains to the end, from the state in the output folder if there is one.

    Args:
        model: compiled.
        batches, validation: `len` of them makes an epoch; `dataset(epoch, batch)` goes on from there.
        epochs: of the whole run.
        output: the folder.
        run: what makes this run this one and no other.
        callbacks: each may have `remembered`, its attributes to be restored.
        save_every: batches between two states.

    Raises:
        ValueError: if the state is of another run.
        OSError: if it is damaged.
    """
    remembered = {
        type(callback).__name__: (callback, callback.remembered)
        for callback in callbacks
        if hasattr(callback, "remembered")
    }
    resume = Resume(Path(output) / STATE, run, len(batches), every=save_every, remembered=remembered)
    if resume.finished:
        return
    model.fit(
        batches.dataset(resume.epoch, resume.batch),
        initial_epoch=resume.epoch,
        epochs=epochs,
        steps_per_epoch=len(batches),
        shuffle=False,
        validation_data=validation and validation.dataset(),
        validation_steps=validation and len(validation),
        callbacks=[resume, *callbacks],
    )


def read_log(output: str, measure: Measure | None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The log of a run that is done: all epochs, and the best one, or without a measure the last."""
    lines = [json.loads(line) for line in (Path(output) / LOG).read_text(encoding="utf-8").splitlines()]
    if measure is None:
        return lines, lines[-1]
    sign = 1 if measure.mode == "min" else -1
    return lines, min(lines, key=lambda line: (math.isnan(line[measure.name]), sign * line[measure.name]))
