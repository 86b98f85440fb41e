"""Which epoch's checkpoint is kept."""

import math

import pytest

from dpr_tf.training.best import BestCheckpoint


def kept(values, mode):
    """The epochs after which it saved."""
    saved = []
    callback = BestCheckpoint("measure", mode, lambda: saved.append(epoch))
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"measure": value, "loss": -value})
    assert callback.best_epoch == (saved[-1] if saved else None)
    assert callback.best == (values[saved[-1]] if saved else None)
    return saved


def test_keeps_the_highest():
    # DPR's own script asks for a lower exact match than the best, which is 0 at first: it never finds one
    assert kept([0.0, 0.2, 0.1, 0.2, 0.3, 0.25], "max") == [0, 1, 4]


def test_keeps_the_lowest():
    assert kept([9.0, 9.5, 8.0, 8.0], "min") == [0, 2]


def test_not_a_number_is_never_the_best():
    assert kept([math.nan, 1.0, math.nan, 2.0], "max") == [1, 3]
    assert kept([math.nan], "min") == []


def test_refuses_mistakes():
    with pytest.raises(ValueError, match="measure is not among what fit reports: accuracy, loss"):
        BestCheckpoint("measure", "max", print).on_epoch_end(0, {"loss": 1.0, "accuracy": 1.0})
    with pytest.raises(ValueError, match="mode='auto': expected 'max' or 'min'"):
        BestCheckpoint("measure", "auto", print)
