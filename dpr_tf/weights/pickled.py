"""What pickles hold once they are read: names, records, tensors as descriptions; which names may be in them.

Knows no instruction of the pickle format; that is `pickles`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

# PyTorch's storage classes and the NumPy dtype of their elements ("bfloat16": see arrays.numpy_dtype).
STORAGE_DTYPES = {
    "torch.FloatStorage": "float32",
    "torch.DoubleStorage": "float64",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}

# Names that may appear and stay names or records: configuration, counters and paths kept beside the weights.
INERT_PREFIXES = ("omegaconf.", "typing.", "pathlib.")
INERT_NAMES = {
    "argparse.Namespace",
    "torch.Size",
    "torch.device",
    *(f"torch.{name}" for name in ("float32", "float64", "float16", "bfloat16", "int64", "int32", "bool")),
    *(
        f"{module}.{name}"
        for module in ("builtins", "__builtin__")
        for name in (
            "bool",
            "bytes",
            "dict",
            "float",
            "int",
            "list",
            "set",
            "str",
            "tuple",
            "NoneType",
            "unicode",
        )
    ),
}
INERT_CLASS = ".CheckpointState"  # facebookresearch/DPR's, under whatever module it was defined in


class Global(NamedTuple):
    """A name that a pickle refers to, as "module.name"."""

    name: str


class Storage(NamedTuple):
    """A run of numbers in the container: key, dtype, length, and where in it this view begins (elements)."""

    key: str
    dtype: str
    size: int
    start: int


class Tensor(NamedTuple):
    """A tensor over a storage: first element, shape and strides, all counted in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(eq=False)
class Record:
    """An object of some class, as data: what it would have been called with, and its state."""

    name: str
    args: tuple
    state: Any = None


class Dialect(NamedTuple):
    """What may stand in a kind of pickle.

    Attributes:
        noun: what such a pickle is called in errors.
        accepts: whether a name, as "module.name", may be in it.
        remedy: what to do when another one is.
    """

    noun: str
    accepts: Callable[[str], bool]
    remedy: str


def whole(value: Any) -> int:
    """A size or an offset; anything else than a whole number >= 0 is a ValueError."""
    if type(value) is not int or value < 0:
        raise ValueError("a size or offset that is no whole number >= 0")
    return value


def hashable(key: Any) -> Any:
    """What may be a key or in a set; anything else is a TypeError."""
    # Nested tuples are left out: their hash can be made to take forever.
    if key is not None and not isinstance(key, (str, int, float, bytes, Global)):
        raise TypeError(f"a {type(key).__name__} as a key")
    return key


def ordered_dict(pairs: Any = ()) -> dict:
    """A dict of pairs, the keys being checked."""
    return {hashable(key): value for key, value in pairs}


def _tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError("a tensor without a storage, or with strides that do not fit its shape")
    return Tensor(storage, whole(offset), tuple(map(whole, shape)), tuple(map(whole, strides)))


def _parameter(data: Tensor, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter that is no tensor")
    return data


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": ordered_dict,
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}


def _is_in_checkpoints(name: str) -> bool:
    known = name in STORAGE_DTYPES or name in BUILDERS or name in INERT_NAMES
    return known or name.startswith(INERT_PREFIXES) or name.endswith(INERT_CLASS)


CHECKPOINT = Dialect(
    "PyTorch checkpoint",
    _is_in_checkpoints,
    "Use a safetensors file, or save the model's state_dict() with torch.save",
)
