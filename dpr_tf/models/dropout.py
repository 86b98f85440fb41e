"""Dropout by a seed that was drawn before, so that a block computed again drops the same units."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

_LEVELS = 1 << 16  # of the probability of a unit, on TensorFlow


class DrawnSeed(keras.random.SeedGenerator):
    """A seed that was drawn before."""

    def __init__(self, seed):
        self.seed = seed
        self._initial_seed = seed  # Keras on torch leaves out the seed where this is None

    def next(self, ordered=True):
        return self.seed


def dropout(x: Any, rate: float, seed: Any) -> Any:
    """Sets units to zero, each with the probability `rate`, and scales the others.

    Args:
        x: float array.
        rate: in [0, 1]; on TensorFlow, rounded to a multiple of 2**-16.
        seed: what a SeedGenerator drew, or None for no dropout.
    """
    if seed is None or rate == 0.0:
        return x
    if keras.config.backend() != "tensorflow":
        return keras.random.dropout(x, rate, seed=DrawnSeed(seed))
    dropped = round(rate * _LEVELS)
    if dropped == _LEVELS:
        return ops.zeros_like(x)
    # `where` keeps bools for the gradient; a product would keep floats.
    return ops.where(_random(x, seed) >= dropped, x * (_LEVELS / (_LEVELS - dropped)), ops.zeros((), x.dtype))


def _random(x: Any, seed: Any) -> Any:
    """Random uint16, as many as x has numbers, in its shape: for half the time of float32, as Keras draws."""
    import tensorflow as tf

    count = tf.size(x)
    seed = tf.bitcast(tf.cast(seed, tf.uint32), tf.int32)
    pairs = tf.random.stateless_uniform([(count + 1) // 2], seed, None, None, tf.uint32, alg="philox")
    return tf.reshape(tf.reshape(tf.bitcast(pairs, tf.uint16), [-1])[:count], tf.shape(x))
