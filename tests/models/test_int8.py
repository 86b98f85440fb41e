"""Products in int8: exact where they must be, near float32 as a whole, and refused where there are none."""

import os
import re
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from precisions import needs_int8

from dpr_tf import DPRConfig, TFDPRQuestionEncoder, TFDPRReader
from dpr_tf.models import int8
from dpr_tf.models.activations import gelu
from dpr_tf.models.int8 import Int8Dense, check_int8, to_int8

CONFIG = DPRConfig(
    vocab_size=50, hidden_size=64, num_attention_heads=2, num_hidden_layers=3, intermediate_size=256
)
IDS = np.random.default_rng(0).integers(1, 50, (5, 12))


@needs_int8
def test_products_are_exact_even_where_sixteen_bits_would_overflow():
    most = int8.levels()
    kernel = np.random.default_rng(0).integers(-most, most + 1, (512, 96)).astype(np.int8)
    kernel[:, 0] = most
    kernel[:, 1] = -most
    states = np.random.default_rng(1).integers(0, 256, (40, 512)).astype(np.float32)
    states[0] = 255
    scale, bias = np.linspace(0.5, 2, 96, dtype=np.float32), np.linspace(-1, 1, 96, dtype=np.float32)
    sums = (kernel.sum(axis=0) * scale).astype(np.float32)
    weights = int8._Weights(tf.bitcast(kernel, tf.qint8), tf.constant(scale), tf.constant(sums))
    for rows in (1, 40):
        product = tf.function(
            lambda states: int8._product(states, 0.0, 255.0, weights, bias), autograph=False
        )
        found = product(tf.constant(states[:rows])).numpy()
        expected = (states[:rows].astype(np.float64) @ kernel) * scale + bias
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=0.01)


@needs_int8
@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
def test_a_model_is_near_itself_in_float32(cls):
    model = cls(CONFIG)
    before = [np.asarray(output) for output in model(IDS).to_tuple()]
    to_int8(model)
    for exact, rough in zip(before, model(IDS).to_tuple(), strict=True):
        error = np.linalg.norm(rough - exact) / np.linalg.norm(exact)
        assert 1e-4 < error < 0.05


@needs_int8
@pytest.mark.parametrize("activation", [gelu, "tanh", None])
@pytest.mark.parametrize("of_tokens", [False, True])
def test_states_are_rounded_as_finely_as_bytes_allow(of_tokens, activation):
    """What is left when the rounded weights are computed with in float32: the rounding of the states."""
    keras.utils.set_random_seed(0)
    layer = keras.layers.Dense(32, activation=activation, bias_initializer="normal")
    layer.build((None, 64))
    product = Int8Dense(layer, of_tokens=of_tokens)
    columns = np.linalg.norm(np.asarray(layer.kernel), axis=0)
    for mean, size in ((3.0, 1.0), (-3.0, 1e-5)):  # ranges are found anew for each batch
        states = size * np.random.default_rng(0).normal(mean, 1.0, (20, 64)).astype(np.float32)
        states[7] *= 10
        # A range holds 0; those of tokens are shares of each one's largest number, and the same for all.
        largest = np.abs(states).max(axis=1, keepdims=True) if of_tokens else 1.0
        shares = states / largest
        step = (max(shares.max(), 0) - min(shares.min(), 0)) * largest / 255
        errors = (product(tf.constant(states)) - layer(states)) / (step / np.sqrt(12) * columns)
        assert np.sqrt(np.mean(errors**2)) < 1.2  # GELU's largest slope is 1.13
    if activation is None:
        added = product(tf.constant(states), tf.constant(states[:, :32])) - states[:, :32]
        np.testing.assert_allclose(added, product(tf.constant(states)), atol=1e-4)


@needs_int8
@pytest.mark.parametrize("cls", [TFDPRQuestionEncoder, TFDPRReader])
def test_weights_are_rounded_in_place_and_stay_the_models(cls):
    model = cls(CONFIG)
    names = [weight.path for weight in model.weights]
    words = np.asarray(model.get_input_embeddings().embeddings).copy()
    to_int8(model)
    assert [weight.path for weight in model.weights] == names
    kernels = [
        weight for weight in model.weights if "encoder/layer_" in weight.path and "kernel" in weight.path
    ]
    assert len(kernels) == 6 * CONFIG.num_hidden_layers
    for kernel in kernels:
        columns = np.asarray(kernel).T[:5]
        steps = columns / (np.abs(columns).max(axis=1, keepdims=True) / int8.levels())
        # An encoder computes no keys and values in its last block.
        left = cls is TFDPRQuestionEncoder and re.search("layer_2/attention/(key|value)", kernel.path)
        assert np.allclose(steps, np.round(steps), atol=1e-4) != bool(left)
    np.testing.assert_array_equal(model.get_input_embeddings().embeddings, words)


@needs_int8
def test_zeros_and_equal_numbers_have_a_product():
    layer = keras.layers.Dense(4, kernel_initializer="zeros", bias_initializer="ones")
    layer.build((None, 8))
    for of_tokens in (False, True):
        layer.kernel.assign(np.zeros((8, 4)))
        np.testing.assert_allclose(Int8Dense(layer, of_tokens)(tf.zeros((2, 8))), np.ones((2, 4)))
        layer.kernel.assign(np.full((8, 4), 0.5))
        found = Int8Dense(layer, of_tokens)(tf.fill((2, 8), 3.0))
        np.testing.assert_allclose(found, np.full((2, 4), 13.0), rtol=1e-6)


def test_refuses_other_backends(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="needs Keras on TensorFlow, found jax: use 'bfloat16'"):
        check_int8()


def test_refuses_a_gpu(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind])
    with pytest.raises(ValueError, match="found a GPU: use 'bfloat16'"):
        check_int8()


def test_refuses_processors_without_such_products(monkeypatch):
    def missing(*_):
        raise tf.errors.InvalidArgumentError(None, None, "No OpKernel was registered")

    monkeypatch.setattr(keras.config, "backend", lambda: "tensorflow")
    monkeypatch.setattr(int8, "_tried", missing)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    with pytest.raises(ValueError, match="no products of bytes for this processor; use 'float32'"):
        check_int8()


ALIKE = (
    test_products_are_exact_even_where_sixteen_bits_would_overflow,
    test_states_are_rounded_as_finely_as_bytes_allow,
)


@needs_int8
@pytest.mark.parametrize(
    "environment",
    [{"TF_ENABLE_ONEDNN_OPTS": "0"}, {"ONEDNN_MAX_CPU_ISA": "AVX2"}],
    ids=lambda env: next(iter(env)),
)
def test_is_as_exact_with_onednn_off_and_where_sums_have_sixteen_bits(environment):
    tests = [f"{__file__}::{test.__name__}" for test in ALIKE]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert "7 passed" in done.stdout, done.stdout
