"""Goes on with a training run after a kill, at the exact batch. Knows Keras models, no data and no text.

The state is one safetensors file: weights, optimizer, seeds of dropout, metrics so far, and in its header the
position in the data, what callbacks remember and a checksum per array. It is written aside and renamed, so
that a kill at any moment leaves the last whole one. From the same state the same batches follow, hence the
same weights, bit for bit where the operations are deterministic: they are on CPUs; on GPUs call
`tf.config.experimental.enable_op_determinism()` first.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dpr_tf.weights.arrays import Checkpoint, CheckpointError, LazyArray, numpy_dtype
from dpr_tf.weights.safetensors import read_safetensors, write_safetensors_file

_FORMAT = "dpr_tf training state 1"

Remembered = Mapping[str, tuple[keras.callbacks.Callback, Sequence[str]]]


class Resume(keras.callbacks.Callback):
    """Saves the state of a `fit` every so many batches, and restores it where a run was cut off.

    Make it after the model is compiled and before `fit`, give it as the first callback, and start the data at
    its position:

        resume = Resume(path, run, batches_per_epoch)
        if not resume.finished:
            model.fit(
                data_from(resume.epoch, resume.batch),  # endless: all batches from there on
                initial_epoch=resume.epoch,
                epochs=epochs,
                steps_per_epoch=batches_per_epoch,
                shuffle=False,
                callbacks=[resume, ...],
            )

    One process at a time uses a path. Metrics that Keras makes at the first batch, as those given to
    `compile` by name, start again in the middle of an epoch; all others go on.

    Args:
        path: of the file, as `training_state.safetensors`; its folder is made. If it is there, the run goes
            on from it.
        run: what makes this run this one and no other, so that no other is continued: settings, seed, data.
            What JSON can hold.
        batches_per_epoch: of the whole epoch, wherever the run goes on.
        every: batches between two states. There is one at the end of each epoch as well.
        remembered: name -> (callback, attributes of it that tell how far it is); numbers, text and lists.
            Keras's EarlyStopping has `best` and `wait`. They are restored when the first epoch begins.

    Attributes:
        epoch: where the run goes on, from 0.
        batch: in that epoch, from 0.
        finished: whether the run had come to its end.

    Raises:
        ValueError: if the file is of another run; the error names the differences.
        OSError: if the file is damaged or no such state.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        run: Mapping[str, Any],
        batches_per_epoch: int,
        *,
        every: int = 100,
        remembered: Remembered | None = None,
    ) -> None:
        super().__init__()
        if batches_per_epoch < 1 or every < 1:
            raise ValueError(
                f"batches_per_epoch and every must be at least 1, got {batches_per_epoch} and {every}"
            )
        self._path = Path(path)
        self._run = json.loads(json.dumps(run))  # as it will be read: lists for tuples, texts for keys
        self._batches, self._every = batches_per_epoch, every
        self._remembered = dict(remembered or {})
        self._state: Checkpoint | None = None
        if self._path.exists():
            self._state = _read(self._path)
            _check_run(self._path, _header(self._state)["run"], self._run)
        header = _header(self._state) if self._state else {}
        self.epoch: int = header.get("epoch", 0)
        self.batch: int = header.get("batch", 0)
        self.finished: bool = header.get("finished", False)
        self._offset = self._done = self._saved = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restores weights, optimizer and seeds."""
        if not self.model.optimizer.built:
            self.model.optimizer.build(self.model.trainable_variables)
        if self._state:
            _assign(self._state, _lasting(self.model))

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Restores what callbacks and metrics have reset by now, or saves what the last epoch came to."""
        self._offset = 0
        if self._state:
            self._offset = self.batch
            if self.batch:
                _assign(self._state, _metrics(self.model))
            self._recall(_header(self._state))
            self._state = None
        elif epoch > self.epoch:
            self._save(epoch, 0)
        self._epoch, self._done, self._saved = epoch, self._offset, self._offset

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves what the batch before came to, as all callbacks have seen that one by now."""
        if self._done - self._saved >= self._every:
            self._save(self._epoch, self._done)
            self._saved = self._done

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Ends an epoch that began in its middle: Keras expects the batches of a whole one."""
        self._done = self._offset + batch + 1
        if self._offset and self._whole:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Lets the next epoch begin."""
        if self._offset and self._whole:
            self.model.stop_training = False

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Saves the last state; none if training was stopped inside an epoch."""
        if self._whole:
            self._save(self._epoch + 1, 0, finished=True)
            self.finished = True

    @property
    def _whole(self) -> bool:
        return self._done >= self._batches

    def _save(self, epoch: int, batch: int, finished: bool = False) -> None:
        history = self.model.history
        header = {
            "run": self._run,
            "epoch": epoch,
            "batch": batch,
            "finished": finished,
            "history": {"epoch": history.epoch, "history": history.history},
            "remembered": {
                name: {attribute: getattr(callback, attribute) for attribute in attributes}
                for name, (callback, attributes) in self._remembered.items()
            },
        }
        _write(self._path, {**_lasting(self.model), **_metrics(self.model)}, header)

    def _recall(self, header: dict[str, Any]) -> None:
        for name, value in header["history"].items():
            setattr(self.model.history, name, value)
        for name, (callback, attributes) in self._remembered.items():
            for attribute in attributes:
                setattr(callback, attribute, header["remembered"][name][attribute])


def _lasting(model: keras.Model) -> dict[str, keras.Variable]:
    """Weights and seeds, and the optimizer's variables, by their places: names count up within a process."""
    return _placed("model", model.variables) | _placed("optimizer", model.optimizer.variables)


def _metrics(model: keras.Model) -> dict[str, keras.Variable]:
    """What fit sets to zero when an epoch begins."""
    return _placed("metric", model.metrics_variables)


def _placed(kind: str, variables: Sequence[keras.Variable]) -> dict[str, keras.Variable]:
    return {f"{kind}.{place}": variable for place, variable in enumerate(variables)}


def _write(path: Path, variables: Mapping[str, keras.Variable], header: dict[str, Any]) -> None:
    arrays = {name: _lazy(variable) for name, variable in variables.items()}
    checksums = {name: _checksum(array) for name, array in arrays.items()}
    text = json.dumps({**header, "checksums": checksums}, default=float)  # float: NumPy's numbers
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    write_safetensors_file(aside, arrays, {"format": _FORMAT, "state": text})
    with open(aside, "rb+") as file:
        os.fsync(file.fileno())
    os.replace(aside, path)


def _lazy(variable: keras.Variable) -> LazyArray:
    return LazyArray(
        tuple(variable.shape),
        numpy_dtype(keras.backend.standardize_dtype(variable.dtype)),
        lambda: np.asarray(keras.ops.convert_to_numpy(variable)),
    )


def _checksum(array: LazyArray) -> int:
    return zlib.crc32(np.ascontiguousarray(array.read()).reshape(-1).view(np.uint8).data)


def _read(path: Path) -> Checkpoint:
    """A whole state; its numbers have been looked at once."""
    state = read_safetensors(path)
    if state.metadata.get("format") != _FORMAT:
        raise CheckpointError(
            f"{path}: not the state of a training run ({_FORMAT!r} expected, "
            f"{state.metadata.get('format')!r} found); give another path"
        )
    checksums = _header(state)["checksums"]
    damaged = [name for name, array in state.items() if _checksum(array) != checksums.get(name)]
    if damaged:
        raise CheckpointError(
            f"{path}: damaged: {len(damaged)} of {len(state)} arrays do not have their checksums, the first "
            f"is {damaged[0]}. Fetch the file from a copy, or remove it to train from the start"
        )
    return state


def _header(state: Checkpoint) -> dict[str, Any]:
    return json.loads(state.metadata["state"])


def _check_run(path: Path, saved: dict[str, Any], here: dict[str, Any]) -> None:
    differences = [
        f"{name}: {saved.get(name)!r} there, {here.get(name)!r} here"
        for name in sorted({*saved, *here})
        if saved.get(name) != here.get(name)
    ]
    if differences:
        raise ValueError(
            f"{path} is the state of another run ({'; '.join(differences)}). Train with its settings to go "
            "on, or give another output folder or remove the file to train from the start"
        )


def _assign(state: Checkpoint, variables: Mapping[str, keras.Variable]) -> None:
    """Gives all variables their values, or none. The state may have metrics that are not made yet."""
    kinds = {name.split(".")[0] for name in variables} - {"metric"}
    unknown = {name for name in state if name.split(".")[0] in kinds} - variables.keys()
    wrong = [f"{name}: not expected, {state[name].shape} found" for name in sorted(unknown)]
    for name, variable in variables.items():
        shape = state[name].shape if name in state else None
        if shape != tuple(variable.shape):
            wrong.append(f"{name} ({variable.path}): {tuple(variable.shape)} expected, {shape} found")
    if wrong:
        raise ValueError(f"{state.path} is the state of another model: {'; '.join(wrong[:5])}")
    for name, variable in variables.items():
        variable.assign(state[name].read())
