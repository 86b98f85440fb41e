"""Whether weights are still those that something was made of: for what computes with a copy of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np


class HeldWeights:
    """Variables of TensorFlow as they are now, to tell later whether one of them has changed.

    TensorFlow writes into a variable's memory only while nobody else holds it; else the variable gets other
    memory. So what is held here stays as it is, and a variable that still has this memory is unchanged. Once
    weights have changed, the old ones take memory until this is dropped.
    A variable of which rows were written, as a sparse gradient does, is copied by TensorFlow at each reading:
    it counts as changed from the beginning.

    Args:
        variables: in a processor's memory.
    """

    def __init__(self, variables: Iterable[Any]) -> None:
        import tensorflow as tf

        replicated = tf.distribute.DistributedValues  # replicas change together
        own = [value.values[0] if isinstance(value, replicated) else value for value in variables]
        self._handles = [variable.handle for variable in own]
        dtypes = [variable.dtype.as_datatype_enum for variable in own]
        self._attributes = ("N", len(own), "dtypes", dtypes)
        self._memory = self._read()

    def unchanged(self) -> bool:
        """Whether every variable has the values it had. Takes a few µs for each, without reading them."""
        return all(map(np.may_share_memory, self._memory, self._read()))

    def _read(self) -> list[np.ndarray]:
        """The memory of each; in one operation, since one for each would take five times as long."""
        from tensorflow.python.eager import context, execute

        count = len(self._handles)
        tensors = execute.execute(
            b"_ReadVariablesOp", count, self._handles, self._attributes, ctx=context.context()
        )
        return [tensor._numpy_internal() for tensor in tensors]  # `numpy()` would copy
