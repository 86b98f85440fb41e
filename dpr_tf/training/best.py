"""Keeps the checkpoint of the best epoch. Knows no model: it is told how to save."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras


class BestCheckpoint(keras.callbacks.Callback):
    """Saves at the end of each epoch that is better than all before it.

    Give it behind the callbacks that measure. An epoch that is as good as the best one is not saved, nor one
    that came to NaN.

    Args:
        monitor: the measure, as `fit` reports it.
        mode: "max" if more is better, "min" if less is.
        save: saves what is to be kept, over what was saved before.

    Attributes:
        best: the measure in the best epoch, None before the first.
        best_epoch: which one that was, from 0; None before the first.
    """

    remembered = ("best", "best_epoch")  # what a run that goes on after a kill needs

    def __init__(self, monitor: str, mode: Literal["max", "min"], save: Callable[[], None]) -> None:
        super().__init__()
        if mode not in ("max", "min"):
            raise ValueError(f"mode={mode!r}: expected 'max' or 'min'")
        self._monitor, self._sign, self._save = monitor, 1 if mode == "max" else -1, save
        self.best: float | None = None
        self.best_epoch: int | None = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Saves, if the epoch was the best.

        Raises:
            ValueError: if the measure is not reported.
        """
        logs = logs or {}
        if self._monitor not in logs:
            raise ValueError(f"{self._monitor} is not among what fit reports: {', '.join(sorted(logs))}")
        value = float(logs[self._monitor])
        better = self.best is None or self._sign * value > self._sign * self.best
        if better and not math.isnan(value):
            self._save()
            self.best, self.best_epoch = value, epoch
