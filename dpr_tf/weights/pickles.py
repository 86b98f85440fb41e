"""Pickles read as inert data: an interpreter that builds lists, dicts and records, and can call nothing.

Python's own unpickler runs what a file tells it to run. This one has no instruction that calls anything: the
few names that checkpoints need stand in a list and become data here, every other name ends the reading. It
knows tensors as descriptions (which storage, offset, shape, strides), and neither containers nor bytes of
tensors.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, cast

from dpr_tf.weights.arrays import CheckpointError

# A pickle describes tensors without holding their numbers; BERT-large with its optimizer takes about 1 MiB.
LARGEST_PICKLE = 64 * 2**20
LONGEST_LINE = 2**16

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


class _Mark:
    """Where a group of stack items begins."""


_MARK = _Mark()


def load(file: BinaryIO, what: str, limit: int | None = None) -> Any:
    """Reads one pickle from the current position of a file, up to and including its STOP.

    Args:
        file: open binary file; afterwards it stands behind the pickle.
        what: how to call the pickle in errors, e.g. the file's path.
        limit: bytes that may be read, at most `LARGEST_PICKLE`.

    Returns:
        None, bool, int, float, str, bytes, list, tuple, dict, set, Global, Record, Storage and Tensor,
        nested.

    Raises:
        CheckpointError: if it is no pickle, is cut off, is implausibly long, or names or does anything that a
            checkpoint has no need of.
    """
    bounded = _Bounded(file, min(limit or LARGEST_PICKLE, LARGEST_PICKLE))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # strange escapes in damaged texts
        return _Machine(what).run(bounded)


class _Bounded:
    """A file of which no more than `left` bytes can be read, whatever length a pickle claims."""

    def __init__(self, file: BinaryIO, left: int):
        self._file, self._left = file, left
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        data = self._file.read(max(0, min(count, self._left)))
        self._left -= len(data)
        return data

    def readline(self) -> bytes:
        data = self._file.readline(min(self._left, LONGEST_LINE))
        self._left -= len(data)
        return data


class _Machine:
    """The stack machine of the pickle format without the parts that import, call or set attributes."""

    def __init__(self, what: str):
        self._what = what
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, file: _Bounded) -> Any:
        try:
            for opcode, argument, _ in pickletools.genops(cast(BinaryIO, file)):
                if opcode.name == "STOP":
                    return self._pop()
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise CheckpointError(
                        f"{self._what}: refused: a pickle with the instruction {opcode.name}, which no "
                        "checkpoint needs. Nothing was run or loaded"
                    )
                step(self, argument)
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{self._what}: not a readable PyTorch pickle ({type(error).__name__}: {error}): the file "
                "is damaged or cut off. Download or save it again"
            ) from error
        raise CheckpointError(f"{self._what}: the pickle has no end: the file is cut off")

    # The stack

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value should be")
        return value

    def _top(self, kind: type) -> Any:
        value = self._stack[-1]
        if not isinstance(value, kind):
            raise TypeError(f"{kind.__name__} expected, {type(value).__name__} found")
        return value

    def _pop_group(self) -> list[Any]:
        start = max(i for i, value in enumerate(self._stack) if value is _MARK)
        group = self._stack[start + 1 :]
        del self._stack[start:]
        return group

    # Instructions

    def _global(self, module: str, name: str) -> None:
        full = f"{module}.{name}"
        known = full in STORAGE_DTYPES or full in _BUILDERS or full in INERT_NAMES
        if not (known or full.startswith(INERT_PREFIXES) or full.endswith(INERT_CLASS)):
            raise CheckpointError(
                f"{self._what}: refused: the pickle names {full[:200]!r}, which no checkpoint of tensors "
                "needs. Nothing was run or loaded. Use a safetensors file, or save the model's state_dict() "
                "with torch.save"
            )
        self._push(Global(full))

    def _reduce(self, _: Any) -> None:
        args, function = self._pop(), self._pop()
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise TypeError("a call of something that is no name")
        build = _BUILDERS.get(function.name)
        self._push(Record(function.name, args) if build is None else build(*args))

    def _build(self, _: Any) -> None:
        state = self._pop()
        target = self._stack[-1]
        if isinstance(target, Record):
            target.state = state
        elif not isinstance(target, (dict, Tensor)):  # theirs are hooks and version numbers
            raise TypeError(f"state for a {type(target).__name__}")

    def _persistent(self, _: Any) -> None:
        kind, cls, key, _, size, *view = self._pop()
        if kind != "storage" or cls.name not in STORAGE_DTYPES:
            raise ValueError("an external object that is no known storage")
        start = 0
        if view and view[0] is not None:  # before PyTorch 0.4: (key, offset, size) of a part of the storage
            _, start, _ = view[0]
        self._push(Storage(str(key), STORAGE_DTYPES[cls.name], _count(size), _count(start)))

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[_hashable(key)] = value


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("a size or offset that is no whole number >= 0")
    return value


def _hashable(key: Any) -> Any:
    # Nested tuples are left out: their hash can be made to take forever.
    if key is not None and not isinstance(key, (str, int, float, bytes, Global)):
        raise TypeError(f"a {type(key).__name__} as a key")
    return key


def _ordered_dict(pairs: Any = ()) -> dict:
    return {_hashable(key): value for key, value in pairs}


def _tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_: Any) -> Tensor:
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError("a tensor without a storage, or with strides that do not fit its shape")
    return Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _parameter(data: Tensor, *_: Any) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError("a parameter that is no tensor")
    return data


_BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": lambda *_: {},
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}


def _pushes(make: Callable[[Any], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine._push(make(argument))


def _groups(make: Callable[[list], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine._push(make(machine._pop_group()))


def _pops(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine._push(tuple(machine._pop() for _ in range(count))[::-1])


def _remember(machine: _Machine, index: int | None) -> None:
    machine._memo[len(machine._memo) if index is None else index] = machine._stack[-1]


def _set_item(machine: _Machine, _: Any) -> None:
    value, key = machine._pop(), machine._pop()
    machine._set_items([key, value])


def _append(machine: _Machine, _: Any) -> None:
    value = machine._pop()
    machine._top(list).append(value)


def _extend(kind: type) -> Callable[[_Machine, Any], None]:
    def step(machine: _Machine, _: Any) -> None:
        group = machine._pop_group()
        target = machine._top(kind)
        target.extend(group) if kind is list else target.update(map(_hashable, group))

    return step


def _new_object(machine: _Machine, _: Any) -> None:
    machine._reduce(None)


def _stack_global(machine: _Machine, _: Any) -> None:
    name, module = machine._pop(), machine._pop()
    if not (isinstance(name, str) and isinstance(module, str)):
        raise TypeError("a name that is no text")
    machine._global(module, name)


def _nothing(*_: Any) -> None:
    return None


_STEPS: dict[str, Callable[[_Machine, Any], Any]] = {
    **dict.fromkeys(("PROTO", "FRAME"), _nothing),
    "MARK": lambda machine, _: machine._stack.append(_MARK),
    "POP": lambda machine, _: machine._stack.pop(),
    "POP_MARK": lambda machine, _: machine._pop_group(),
    "DUP": lambda machine, _: machine._push(machine._stack[-1]),
    "NONE": _pushes(lambda _: None),
    "NEWTRUE": _pushes(lambda _: True),
    "NEWFALSE": _pushes(lambda _: False),
    **dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"), _pushes(lambda x: x)),
    **dict.fromkeys(("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"), _pushes(lambda x: x)),
    **dict.fromkeys(("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"), _pushes(lambda x: x)),
    **dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"), _pushes(lambda x: x)),
    "EMPTY_LIST": _pushes(lambda _: []),
    "EMPTY_DICT": _pushes(lambda _: {}),
    "EMPTY_SET": _pushes(lambda _: set()),
    "EMPTY_TUPLE": _pushes(lambda _: ()),
    "TUPLE": _groups(tuple),
    "TUPLE1": _pops(1),
    "TUPLE2": _pops(2),
    "TUPLE3": _pops(3),
    "LIST": _groups(list),
    "DICT": _groups(lambda items: _ordered_dict(zip(items[::2], items[1::2], strict=True))),
    "FROZENSET": _groups(lambda items: frozenset(map(_hashable, items))),
    "APPEND": _append,
    "APPENDS": _extend(list),
    "ADDITEMS": _extend(set),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, _: machine._set_items(machine._pop_group()),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _remember),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine._push(machine._memo[index])
    ),
    "GLOBAL": lambda machine, names: machine._global(*names.rsplit(" ", 1)),
    "STACK_GLOBAL": _stack_global,
    "REDUCE": _Machine._reduce,
    "NEWOBJ": _new_object,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent,
}
