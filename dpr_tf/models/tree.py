"""Makes output records known to the tree libraries that Keras walks structures with."""

from __future__ import annotations

import keras


def register_outputs(classes: tuple[type, ...]) -> None:
    """Registers record classes as nodes for the backend in use, once.

    `predict` and functional models need it.

    TensorFlow's own `tf.nest` takes any mapping; Keras on TensorFlow and JAX uses optree, JAX its own
    registry beside it, and the torch backend torch's.
    """
    backend = keras.config.backend()
    for cls in classes:
        if backend == "torch":
            _register_torch(cls)
        else:
            _register_optree(cls)
            if backend == "jax":
                _register_jax(cls)


def _flatten(record):
    return list(record.values()), tuple(record.keys())


def _unflatten(cls, keys, values):
    record = cls()
    for key, value in zip(keys, values, strict=True):
        record[key] = value  # None included: Keras maps outputs to None to remember their structure
    return record


def _register_optree(cls: type) -> None:
    import optree

    optree.register_pytree_node(
        cls,
        lambda record: (*_flatten(record), tuple(record.keys())),
        lambda keys, values: _unflatten(cls, keys, values),
        namespace="keras",
    )


def _register_jax(cls: type) -> None:
    import jax

    jax.tree_util.register_pytree_node(cls, _flatten, lambda keys, values: _unflatten(cls, keys, values))


def _register_torch(cls: type) -> None:
    from torch.utils import _pytree

    _pytree.register_pytree_node(
        cls,
        _flatten,
        lambda values, keys: _unflatten(cls, keys, values),
        serialized_type_name=f"dpr_tf.{cls.__name__}",
    )
