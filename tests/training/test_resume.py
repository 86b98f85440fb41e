"""A run that is cut off and goes on ends as if it had not been: weights, losses, callbacks, bit for bit."""

import os
import random
import signal
import subprocess
import sys
import time

import interrupted_training
import keras
import numpy as np
import pytest
from interrupted_training import BATCHES, EPOCHS, RUN, dataset, make_model, start, train

from dpr_tf.training.resume import Resume
from dpr_tf.weights.arrays import CheckpointError


class Cut(Exception):
    """Training ends here."""


def cut_at(position):
    def interrupt(epoch, batch):
        if (epoch, batch) == position:
            raise Cut

    return interrupt


@pytest.fixture(scope="module")
def compiled():
    """A model, compiled once for all tests."""
    return make_model()


@pytest.fixture
def model(compiled):
    """The model as it begins; `start` lets it begin again."""
    return start(compiled)


@pytest.fixture(scope="module")
def undisturbed(compiled, tmp_path_factory):
    """Losses, history and weights of a run that was not cut off."""
    losses, history = train(start(compiled), tmp_path_factory.mktemp("run") / "state")
    return losses, history.history, compiled.get_weights()


def assert_goes_on(model, path, undisturbed, interrupt=lambda *position: None):
    """Trains from where the state is, in a model that begins anew."""
    losses, history = train(start(model), path, interrupt)
    assert losses == undisturbed[0]
    assert history.history == undisturbed[1]
    assert history.epoch == list(range(EPOCHS))
    for mine, other in zip(model.get_weights(), undisturbed[2], strict=True):
        np.testing.assert_array_equal(mine, other)


def test_saving_changes_nothing(model, undisturbed):
    history = model.fit(dataset(0, 0), epochs=EPOCHS, steps_per_epoch=BATCHES, shuffle=False, verbose=0)
    assert history.history == undisturbed[1]
    for mine, other in zip(model.get_weights(), undisturbed[2], strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("where", [(0, 1), (1, 6), (3, 0)])
def test_goes_on_as_if_it_had_not_been_cut(tmp_path, model, undisturbed, where):
    with pytest.raises(Cut):
        train(model, tmp_path / "state", cut_at(where))
    seen = []
    assert_goes_on(model, tmp_path / "state", undisturbed, lambda *position: seen.append(position))
    # Of three batches between two states, and one at the end of an epoch, at most three are computed again.
    assert len(seen) <= EPOCHS * BATCHES - (where[0] * BATCHES + where[1] + 1) + 3


def test_goes_on_twice_in_one_epoch(tmp_path, model, undisturbed):
    for where in ((1, 4), (1, 3), (2, 6)):  # in the second run, batch 3 is the seventh: it went on from 3
        with pytest.raises(Cut):
            train(start(model), tmp_path / "state", cut_at(where))
    assert_goes_on(model, tmp_path / "state", undisturbed)


def test_position_is_the_last_state_before_the_cut(tmp_path, model):
    with pytest.raises(Cut):
        train(model, tmp_path / "state", cut_at((2, 4)))
    resume = Resume(tmp_path / "state", RUN, BATCHES)
    assert (resume.epoch, resume.batch, resume.finished) == (2, 3, False)


def test_a_run_that_is_done_says_so(tmp_path, model):
    train(model, tmp_path / "state")
    resume = Resume(tmp_path / "state", RUN, BATCHES)
    assert (resume.epoch, resume.batch, resume.finished) == (EPOCHS, 0, True)


def test_early_stopping_goes_on_counting(tmp_path, model):
    def epochs(path, interrupt=lambda *position: None):
        stop = keras.callbacks.EarlyStopping("loss", patience=2, min_delta=100.0)  # nothing is so much better
        resume = Resume(path, {}, BATCHES, every=2, remembered={"stop": (stop, ["best", "wait"])})
        fitted = start(model).fit(
            dataset(resume.epoch, resume.batch),
            initial_epoch=resume.epoch,
            epochs=9,
            steps_per_epoch=BATCHES,
            callbacks=[resume, interrupted_training.Loss(interrupt), stop],
            shuffle=False,
            verbose=0,
        )
        return fitted.epoch

    assert epochs(tmp_path / "whole") == [0, 1, 2]
    with pytest.raises(Cut):
        epochs(tmp_path / "cut", cut_at((1, 3)))
    assert epochs(tmp_path / "cut") == [0, 1, 2]
    assert Resume(tmp_path / "cut", {}, BATCHES).finished


def test_killed_at_random_moments(tmp_path, model, undisturbed):
    moments = random.Random(7)
    state, progress = tmp_path / "state", tmp_path / "progress"
    for least in (2, 12):
        arguments = [sys.executable, interrupted_training.__file__, str(state), str(progress)]
        child = subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        while child.poll() is None and (not progress.exists() or progress.stat().st_size < least):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.02))
        child.kill()
        assert child.wait() == -signal.SIGKILL
    resume = Resume(state, RUN, BATCHES)
    assert (0, 0) < (resume.epoch, resume.batch) < (EPOCHS, 0)
    assert_goes_on(model, state, undisturbed)


def test_what_a_kill_left_half_written_is_no_state(tmp_path, model, undisturbed, monkeypatch):
    def killed(path, arrays, metadata):
        path.write_bytes(b"half")
        raise Cut

    with pytest.raises(Cut):
        train(model, tmp_path / "state", cut_at((1, 0)))
    with monkeypatch.context() as patch:
        patch.setattr("dpr_tf.training.resume.write_safetensors_file", killed)
        with pytest.raises(Cut):
            train(model, tmp_path / "state")
    assert_goes_on(model, tmp_path / "state", undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.fixture
def state(tmp_path, model):
    """The path of a state in the middle of a run."""
    with pytest.raises(Cut):
        train(model, tmp_path / "state", cut_at((0, 5)))
    return tmp_path / "state"


def test_refuses_the_state_of_another_run(state):
    difference = r"state of another run \(files: \['a.json'\] there, None here; seed: 5 there, 6 here\)"
    with pytest.raises(ValueError, match=difference):
        Resume(state, {"seed": 6}, BATCHES)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], r"another model: .*model.2: not expected, \(2,\) found"),
        (
            [keras.layers.Dropout(0.3), keras.layers.Dense(1)],
            r"model.0 \(.*\): \(6, 4\) expected, \(6, 5\) found",
        ),
    ],
)
def test_refuses_the_state_of_another_model(state, layers, message):
    other = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), *layers])
    other.compile("adam", "mse")
    before = other.get_weights()[0]
    with pytest.raises(ValueError, match=message):
        train(other, state)
    np.testing.assert_array_equal(other.get_weights()[0], before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-5], "cut off or damaged"),
        (lambda data: data[:-1] + b"?", "1 of 17 arrays do not have their checksums, the first is"),
        (lambda data: data.replace(b"state 1", b"state 9"), "not the state of a training run"),
    ],
)
def test_refuses_what_is_damaged(state, change, message):
    state.write_bytes(change(state.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        Resume(state, RUN, BATCHES)


def test_refuses_senseless_numbers(tmp_path):
    with pytest.raises(ValueError, match="must be at least 1, got 0 and 100"):
        Resume(tmp_path / "state", RUN, 0)
