"""Dropout: how much is dropped, that the rest is scaled, and that a seed says what."""

import keras
import numpy as np
import pytest
from keras import ops

from dpr_tf.models.dropout import dropout

SEED = keras.random.SeedGenerator(7).next()


def dropped(x, rate, seed=SEED):
    return ops.convert_to_numpy(dropout(ops.convert_to_tensor(x), rate, seed))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_drops_its_share_and_keeps_the_mean(rate):
    found = dropped(np.ones((301, 999), np.float32), rate)
    assert abs(np.mean(found == 0.0) - rate) < 0.005
    np.testing.assert_allclose(found[found != 0.0], 1.0 / (1.0 - rate), rtol=1e-4)
    # Along no axis units go together.
    assert np.abs(np.corrcoef(found[:-1].ravel(), found[1:].ravel())[0, 1]) < 0.01
    assert np.abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 0.01


def test_a_seed_says_what_is_dropped():
    x = np.ones((31, 33), np.float32)
    np.testing.assert_array_equal(dropped(x, 0.5), dropped(x, 0.5))
    other = keras.random.SeedGenerator(8).next()
    assert np.mean(dropped(x, 0.5) != dropped(x, 0.5, other)) > 0.4


def test_none_and_all():
    x = np.ones((3, 5), np.float32)
    np.testing.assert_array_equal(dropped(x, 0.0), x)
    np.testing.assert_array_equal(dropped(x, 0.5, None), x)
    np.testing.assert_array_equal(dropped(x, 1.0), np.zeros_like(x))


@pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="elsewhere it is Keras's own")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_gradient_is_dropped_alike(dtype):
    import tensorflow as tf

    x = tf.ones((7, 9), dtype)
    with tf.GradientTape() as tape:
        tape.watch(x)
        found = dropout(x, 0.5, SEED)
    np.testing.assert_array_equal(tf.cast(tape.gradient(found, x), "float32"), tf.cast(found, "float32"))
    assert found.dtype == dtype
