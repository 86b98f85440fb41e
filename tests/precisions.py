"""Where products in int8 can be tested."""

import platform

import keras
import pytest


def _has_int8() -> bool:
    if keras.config.backend() != "tensorflow" or platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


needs_int8 = pytest.mark.skipif(
    not _has_int8(), reason="only TensorFlow on x86 processors has products of bytes"
)
