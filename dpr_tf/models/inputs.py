"""Turns keyword, tensor, list, tuple or dict inputs into named inputs, and raises the errors.

`prepare` makes what Keras would refuse before `call` (nested Python lists, ragged tensors, BatchEncoding)
into arrays and dicts; `bind` names what arrives in `call`. Knows argument names and shapes, not what a model
does with them.
"""

from __future__ import annotations

import logging
import numbers
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.backend.common.symbolic_scope import in_symbolic_scope  # there is no public way to ask

logger = logging.getLogger(__name__)

FLAGS = ("output_attentions", "output_hidden_states", "return_dict", "training")
FORMS = "a tensor, a NumPy array, a list or tuple of them in the order of the arguments, or a dict by name"


def prepare(names: Sequence[str], pad_token_id: int, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Turns the arguments of a model's `__call__` into keyword arguments that Keras passes through to `call`.

    Args:
        names: argument names of `call`, in order.
        pad_token_id: fills ragged ids.
        args: positional arguments; the first may hold all inputs.
        kwargs: keyword arguments.

    Returns:
        Keyword arguments for `call`: arrays, tensors and flags.

    Raises:
        ValueError: for an unknown keyword, too many inputs, ids that are no integers, or a value of a type
            that is no input.
        TypeError: for a dict with a key that is no argument.
    """
    if "inputs" in kwargs and "inputs" not in names:
        kwargs = {
            "input_ids": _deprecated(kwargs["inputs"]),
            **{k: v for k, v in kwargs.items() if k != "inputs"},
        }
    unknown = [name for name in kwargs if name not in names]
    if unknown:
        raise ValueError(
            f"The following keyword arguments are not supported by this model: {unknown}. "
            f"It takes {list(names)}."
        )
    if len(args) > len(names):
        raise ValueError(
            f"This model takes at most {len(names)} inputs ({', '.join(names)}), got {len(args)}."
        )
    given = dict(zip(names, args, strict=False))
    for name in kwargs:
        if name in given:
            raise TypeError(f"Got multiple values for argument {name!r}.")
    given.update(kwargs)
    first = given.pop("input_ids", None)
    given.update(_unpack(names, first))
    given = {name: _array(name, value) for name, value in given.items() if value is not None}
    _check_integers(given)
    return _densify(given, pad_token_id)


def bind(names: Sequence[str], given: dict[str, Any]) -> dict[str, Any]:
    """Names the inputs that `call` received, checks that they fit together, and casts ids to int32.

    Args:
        names: argument names of `call`, in order.
        given: arguments of `call` by name; `input_ids` may hold all inputs.

    Returns:
        Every name of `names` with its value or None.

    Raises:
        ValueError: neither or both of `input_ids` and `inputs_embeds`; ids of wrong rank; mask or token types
            of another length.
    """
    first = given.get("input_ids")
    bound: dict[str, Any] = {**dict.fromkeys(names), **given, "input_ids": None, **_unpack(names, first)}
    ids, embeds = bound["input_ids"], bound["inputs_embeds"]
    if embeds is not None:
        _check_embeds(names, embeds)
    if ids is not None and embeds is not None:
        raise ValueError(
            "You cannot specify both input_ids and inputs_embeds at the same time: leave one out."
        )
    if ids is None and embeds is None:
        raise ValueError("You have to specify either input_ids or inputs_embeds.")
    if ids is not None:
        bound["input_ids"] = ops.cast(ids, "int32")
    if bound.get("token_type_ids") is not None:
        bound["token_type_ids"] = ops.cast(bound["token_type_ids"], "int32")
    _check_shapes(bound)
    return bound


def _deprecated(value: Any) -> Any:
    warnings.warn("The `inputs` argument is deprecated: use `input_ids`.", FutureWarning, stacklevel=4)
    return value


def is_packed(first: Any) -> bool:
    """Whether a first argument holds inputs in Python's containers: a list, tuple, dict or BatchEncoding."""
    return isinstance(first, (list, tuple)) or _is_mapping(first)


def _is_mapping(first: Any) -> bool:
    return isinstance(first, Mapping) or (hasattr(first, "data") and isinstance(first.data, Mapping))


def _unpack(names: Sequence[str], first: Any) -> dict[str, Any]:
    """What the first argument holds, by name."""
    if _is_mapping(first):
        return _from_mapping(names, dict(first))
    if isinstance(first, (list, tuple)) and not _is_nested_numbers(first):
        inputs = [name for name in names if name not in FLAGS]
        if len(first) > len(inputs):
            raise ValueError(
                f"Got a list of {len(first)} inputs; this model takes {len(inputs)}: {', '.join(inputs)}."
            )
        return dict(zip(inputs, first, strict=False))
    return {"input_ids": first}


def _from_mapping(names: Sequence[str], inputs: dict[str, Any]) -> dict[str, Any]:
    if "inputs" in inputs and "inputs" not in names:
        inputs["input_ids"] = _deprecated(inputs.pop("inputs"))
    unknown = sorted(str(name) for name in inputs if name not in names)
    tensors = [name for name in unknown if _is_array(inputs[name]) or isinstance(inputs[name], (list, tuple))]
    if tensors:
        remedy = "; a reader takes no token types" if tensors == ["token_type_ids"] else ""
        raise TypeError(
            f"The dict of inputs holds {tensors}, which this model does not take: "
            f"it takes {list(names)}{remedy}."
        )
    if unknown:
        logger.warning("The inputs %s are not among %s and are ignored.", unknown, list(names))
    return {name: value for name, value in inputs.items() if name in names}


def _is_array(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _is_nested_numbers(value: Any) -> bool:
    """True for one batch of ids as nested Python lists, False for a list of inputs."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    row = value[0]
    return isinstance(row, numbers.Number) or (
        isinstance(row, (list, tuple)) and bool(row) and isinstance(row[0], numbers.Number)
    )


def _array(name: str, value: Any) -> Any:
    """`value` as something Keras takes, or a ValueError that says what was wrong with it."""
    if name in FLAGS:
        return value
    if isinstance(value, (list, tuple)):
        return _from_lists(name, value)
    if isinstance(value, (bool, numbers.Number)) or _is_array(value):
        module = type(value).__module__.partition(".")[0]
        if module == "torch" and keras.config.backend() != "torch":
            raise ValueError(f"Data of type {type(value)} is not allowed for {name}: pass {name}.numpy().")
        if "Sparse" in type(value).__name__:
            raise ValueError(
                f"Data of type {type(value)} is not allowed for {name}: pass tf.sparse.to_dense({name})."
            )
        return value
    raise ValueError(f"Data of type {type(value)} is not allowed for {name}: only {FORMS} is accepted.")


def _from_lists(name: str, rows: Sequence) -> Any:
    try:
        array = np.array([np.asarray(row) for row in rows]) if _same_lengths(rows) else None
    except ValueError:
        array = None
    if array is not None and array.dtype.kind in "iufb":
        return array.astype(np.int32) if array.dtype == np.int64 else array
    if all(
        isinstance(row, (list, tuple)) and all(isinstance(x, numbers.Integral) for x in row) for row in rows
    ):
        return [np.asarray(row, dtype=np.int32) for row in rows]
    raise ValueError(
        f"{name} is a list of {[type(row).__name__ for row in rows][:5]}: only {FORMS} is accepted."
    )


def _same_lengths(rows: Sequence) -> bool:
    return len({len(row) if hasattr(row, "__len__") else -1 for row in rows}) <= 1


def _densify(given: dict[str, Any], pad_token_id: int) -> dict[str, Any]:
    """Pads ragged inputs to the longest row; masks the padding if no mask is given."""
    for name, value in list(given.items()):
        fill = pad_token_id if name == "input_ids" else 0
        if type(value).__name__ == "RaggedTensor":
            lengths, given[name] = value.row_lengths(), value.to_tensor(fill)
        elif isinstance(value, list) and name not in FLAGS:
            lengths = np.array([len(row) for row in value])
            given[name] = np.full((len(value), lengths.max()), fill, dtype=np.int32)
            for padded, row in zip(given[name], value, strict=True):
                padded[: len(row)] = row
        else:
            continue
        if name in ("input_ids", "inputs_embeds"):
            position = ops.arange(ops.shape(given[name])[1])
            inside = ops.expand_dims(position, 0) < ops.expand_dims(ops.cast(lengths, "int32"), 1)
            given.setdefault("attention_mask", ops.cast(inside, "int32"))
    return given


def _check_integers(given: dict[str, Any]) -> None:
    if in_symbolic_scope():
        # Before training on several replicas Keras tries a model out on symbols for the mean of their inputs.
        return
    for name in ("input_ids", "token_type_ids"):
        value = given.get(name)
        if value is None or isinstance(value, list):  # rows of ids of several lengths
            continue
        dtype = (
            keras.backend.standardize_dtype(value.dtype) if hasattr(value, "dtype") else type(value).__name__
        )
        if "int" not in dtype:
            raise ValueError(
                f"{name} must be of an integer type, got {dtype}; a keras.Input needs dtype='int32'."
            )


def _check_embeds(names: Sequence[str], embeds: Any) -> None:
    dtype = keras.backend.standardize_dtype(embeds.dtype)
    if "float" not in dtype or len(embeds.shape) != 3:
        remedy = (
            ""
            if "token_type_ids" in names
            else "; the third input of a reader is inputs_embeds, it takes no token_type_ids"
        )
        raise ValueError(
            f"inputs_embeds must be float [batch, tokens, hidden_size], "
            f"got {dtype} of the shape {tuple(embeds.shape)}{remedy}."
        )


def _check_shapes(bound: dict[str, Any]) -> None:
    main = "input_ids" if bound["input_ids"] is not None else "inputs_embeds"
    shape = tuple(bound[main].shape)
    if main == "input_ids" and len(shape) != 2:
        raise ValueError(f"input_ids must be [batch, tokens], got the shape {shape}.")
    for name, ranks in (("attention_mask", (2, 3)), ("token_type_ids", (2,))):
        value = bound.get(name)
        if value is None:
            continue
        other = tuple(ops.shape(value)) if not hasattr(value, "shape") else tuple(value.shape)
        if len(other) not in ranks or (None not in (other[-1], shape[1]) and other[-1] != shape[1]):
            raise ValueError(f"{name} must be [batch, tokens] like {main} {shape}, got the shape {other}.")
