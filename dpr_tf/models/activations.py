"""The activations a `hidden_act` of config.json may name, as functions of `keras.ops`.

Names and formulas follow Hugging Face, where "gelu" is the exact erf form; each formula is checked against
recorded values. The erf form is written out because some converters (ONNX, LiteRT) know no other spelling of
it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from keras import ops

Activation = Callable[[Any], Any]


def gelu(x):
    """x times the normal distribution function of x (Hendrycks and Gimpel 2016), exact."""
    # In this order the gradient takes fewer operations than that of 0.5 * x * (...).
    return x * (0.5 * (1.0 + ops.erf(x * math.sqrt(0.5))))


def gelu_10(x):
    """The exact GELU, clipped to [-10, 10]."""
    return ops.clip(gelu(x), -10.0, 10.0)


def gelu_new(x):
    """The tanh approximation of GELU."""
    return 0.5 * x * (1.0 + ops.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


def quick_gelu(x):
    """x * sigmoid(1.702 x)."""
    return x * ops.sigmoid(1.702 * x)


def mish(x):
    """x * tanh(softplus(x)) (Misra 2019)."""
    return x * ops.tanh(ops.softplus(x))


def laplace(x):
    """The normal distribution function with mean sqrt(1/2) and deviation sqrt(1/(4 pi)) (Ma et al. 2022)."""
    mean, deviation = 0.707107, 0.282095
    return 0.5 * (1.0 + ops.erf((x - mean) / (deviation * math.sqrt(2.0))))


def relu2(x):
    """The square of relu (So et al. 2021)."""
    return ops.square(ops.relu(x))


def linear(x):
    """x itself."""
    return x


FUNCTIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_10": gelu_10,
    "gelu_accurate": gelu_new,
    "gelu_fast": gelu_new,
    "gelu_new": gelu_new,
    "gelu_python": gelu,
    "gelu_pytorch_tanh": gelu_new,
    "laplace": laplace,
    "linear": linear,
    "mish": mish,
    "quick_gelu": quick_gelu,
    "relu": ops.relu,
    "relu2": relu2,
    "relu6": ops.relu6,
    "sigmoid": ops.sigmoid,
    "silu": ops.silu,
    "swish": ops.silu,
    "tanh": ops.tanh,
}
