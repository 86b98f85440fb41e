"""What replicas under `tf.distribute` tell each other; without it, and on other backends, there is one.

On JAX `keras.distribution` needs none of this: a batch is one array there, wherever its parts are.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def count() -> int:
    """How many replicas compute together."""
    if keras.config.backend() != "tensorflow":
        return 1
    import tensorflow as tf

    return tf.distribute.get_strategy().num_replicas_in_sync


def gather(values: Any) -> Any:
    """Every replica's rows, in the order of the replicas; gradients flow back to the replica they came from.

    Args:
        values: number [rows, ...]; replicas may have different numbers of rows, also none.

    Returns:
        The same type, [all rows, ...].
    """
    return values if count() == 1 else _context().all_gather(values, axis=0)


def total(values: list[Any]) -> list[Any]:
    """Sums over all replicas, one for each tensor of a list."""
    if count() == 1:
        return values
    import tensorflow as tf

    return _context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def rows(values: Any) -> tuple[Any, Any]:
    """How many rows stand on the replicas before this one, and on all together; int32 scalars."""
    here = ops.shape(values)[0]
    if count() == 1:
        return 0, here
    sizes = gather(ops.reshape(ops.cast(here, "int32"), (1,)))
    replica = _context().replica_id_in_sync_group
    earlier = ops.cast(ops.arange(count(), dtype="int32") < replica, "int32")
    return ops.sum(sizes * earlier), ops.sum(sizes)


def _context() -> Any:
    import tensorflow as tf

    return tf.distribute.get_replica_context()
