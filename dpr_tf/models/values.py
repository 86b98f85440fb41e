"""First values of a model's variables: made of a checkpoint's arrays, in whose memory they stay.

A variable that is made without a value and gets it later saves another value's memory, and computing it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras.src.backend.common import global_state  # no public way to make variables without values


def left_out() -> keras.StatelessScope:
    """Variables made inside get no values: Keras leaves that for later."""
    return keras.StatelessScope(initialize_variables=False)


@contextlib.contextmanager
def given_to(model: Any) -> Iterator[dict[str, Slot]]:
    """Gives the variables of a new model by path; those not assigned inside get initial values at the end.

    Args:
        model: made within `left_out`, with `variables_by_path`.
    """
    mine = {id(variable) for variable in model.variables}
    waiting = global_state.get_global_attribute("uninitialized_variables", [])
    # Off Keras's list of variables to initialise: some have a value by then, and a failed load must leave
    # nothing there.
    global_state.set_global_attribute("uninitialized_variables", [v for v in waiting if id(v) not in mine])
    slots = {path: Slot(variable) for path, variable in model.variables_by_path.items()}
    yield slots
    for variable in model.variables:
        if variable._value is None:
            variable._deferred_initialize()


class Slot:
    """A variable that has a shape and a dtype but no value yet; the first `assign` gives it one."""

    def __init__(self, variable: keras.Variable) -> None:
        self.variable, self.shape, self.dtype = variable, variable.shape, variable.dtype

    def assign(self, array: Any) -> None:
        """Makes the variable with this value."""
        self.variable._initialize(_tensor(array, self.dtype))
        self.variable._initializer = None


def _tensor(array: Any, dtype: Any) -> Any:
    """The array as a tensor; where the framework can take its memory over, it must not be used after.

    Keras's `convert_to_tensor` copies, on TensorFlow twice.
    """
    backend = keras.config.backend()
    if not _may_be_taken_over(array, dtype):
        return keras.ops.convert_to_tensor(array, dtype=dtype)
    if backend == "jax":
        import jax

        return jax.numpy.asarray(array, dtype=dtype)
    # The other two do not know NumPy's bfloat16.
    bits = array.view(np.int16) if dtype == "bfloat16" else array
    if backend == "torch":
        import torch

        return keras.ops.convert_to_tensor(torch.from_numpy(bits).view(getattr(torch, dtype)))
    import tensorflow as tf

    tensor = tf.experimental.dlpack.from_dlpack(bits.__dlpack__())
    return tensor if bits is array else tf.bitcast(tensor, dtype)


def _may_be_taken_over(array: Any, dtype: Any) -> bool:
    plain = isinstance(array, np.ndarray) and array.dtype.name == dtype
    # TensorFlow ends the process for memory that does not start at a multiple of 64; JAX copies it.
    return plain and array.flags.c_contiguous and array.flags.writeable and array.ctypes.data % 64 == 0
