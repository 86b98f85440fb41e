"""Pickles read as inert data: an interpreter that builds lists, dicts and records, and can call nothing.

Python's own unpickler runs what a file tells it to run. This one has no instruction that calls anything: the
few names that checkpoints need stand in a list and become data here, every other name ends the reading. It
knows tensors as descriptions (which storage, offset, shape, strides), and neither containers nor bytes of
tensors. Which names may stand in a pickle is a dialect: checkpoints have one, other files bring theirs.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from dpr_tf.weights.arrays import CheckpointError
from dpr_tf.weights.pickled import (
    BUILDERS,
    CHECKPOINT,
    STORAGE_DTYPES,
    Dialect,
    Global,
    Record,
    Storage,
    Tensor,
    hashable,
    ordered_dict,
    whole,
)

# A pickle describes tensors without holding their numbers; BERT-large with its optimizer takes about 1 MiB.
LARGEST_PICKLE = 64 * 2**20
LONGEST_LINE = 2**16


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
        machine = _Machine(what, CHECKPOINT)
        for _ in machine.run(bounded):
            pass
        return machine.result


def load_items(file: BinaryIO, what: str, dialect: Dialect) -> Iterator[Any]:
    """Reads a pickle of one list, item by item: memory does not grow with the list.

    For that, what an item holds is forgotten with it. Only what stands in the first items, which are appended
    together, may be referred to by all: there a pickle brings the names that it needs.

    Args:
        file: open binary file.
        what: how to call the pickle in errors.
        dialect: what may stand in it.

    Yields:
        The items, of the types that `load` returns.

    Raises:
        CheckpointError: as `load`, the limit being for as many items as are appended at once; or if the
            pickle is no list.
    """
    bounded = _Bounded(file, LARGEST_PICKLE)
    machine = _Machine(what, dialect)
    for _ in machine.run(bounded):
        items = machine.taken_items()
        if items:
            yield from items
            bounded.left = LARGEST_PICKLE
    if not isinstance(machine.result, list):
        raise CheckpointError(f"{what}: expected a list, found {type(machine.result).__name__}")
    yield from machine.result


class _Bounded:
    """A file of which no more than `left` bytes can be read, whatever length a pickle claims."""

    def __init__(self, file: BinaryIO, left: int):
        self._file, self.left = file, left
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        data = self._file.read(max(0, min(count, self.left)))
        self.left -= len(data)
        return data

    def readline(self) -> bytes:
        data = self._file.readline(min(self.left, LONGEST_LINE))
        self.left -= len(data)
        return data


class _Machine:
    """The stack machine of the pickle format without the parts that import, call or set attributes."""

    def __init__(self, what: str, dialect: Dialect):
        self._what, self._dialect = what, dialect
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._first_memo: dict[int, Any] = {}
        self._memoized = 0
        self.result: Any = None

    def run(self, file: _Bounded) -> Iterator[None]:
        """Reads up to STOP, which sets `result`; yields wherever the outermost list has grown."""
        try:
            for opcode, argument, _ in pickletools.genops(cast(BinaryIO, file)):
                if opcode.name == "STOP":
                    self.result = self._pop()
                    return
                step = _STEPS.get(opcode.name)
                if step is None:
                    raise CheckpointError(
                        f"{self._what}: refused: a pickle with the instruction {opcode.name}, which no "
                        f"{self._dialect.noun} needs. Nothing was run or loaded"
                    )
                step(self, argument)
                if len(self._stack) == 1 and opcode.name in ("APPEND", "APPENDS"):
                    yield
        except (ValueError, IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"{self._what}: not a readable {self._dialect.noun} ({type(error).__name__}: {error}): "
                "the file is damaged or cut off. Download or save it again"
            ) from error
        raise CheckpointError(f"{self._what}: the pickle has no end: the file is cut off")

    def taken_items(self) -> list[Any]:
        """Empties the outermost list, and forgets what its items brought, but for the first ones' names."""
        items = self._top(list)
        taken, items[:] = list(items), []
        self._first_memo = self._first_memo or dict(self._memo)
        self._memo = dict(self._first_memo)
        return taken

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
        if not self._dialect.accepts(full):
            raise CheckpointError(
                f"{self._what}: refused: the pickle names {full[:200]!r}, which no {self._dialect.noun} "
                f"needs. Nothing was run or loaded. {self._dialect.remedy}"
            )
        self._push(Global(full))

    def _reduce(self, _: Any) -> None:
        args, function = self._pop(), self._pop()
        if not isinstance(function, Global) or not isinstance(args, tuple):
            raise TypeError("a call of something that is no name")
        build = BUILDERS.get(function.name)
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
        self._push(Storage(str(key), STORAGE_DTYPES[cls.name], whole(size), whole(start)))

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[hashable(key)] = value


def _pushes(make: Callable[[Any], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, argument: machine._push(make(argument))


def _groups(make: Callable[[list], Any]) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine._push(make(machine._pop_group()))


def _pops(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine._push(tuple(machine._pop() for _ in range(count))[::-1])


def _remember(machine: _Machine, index: int | None) -> None:
    machine._memo[machine._memoized if index is None else index] = machine._stack[-1]
    machine._memoized += 1


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
        target.extend(group) if kind is list else target.update(map(hashable, group))

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
    "BYTEARRAY8": _pushes(bytes),
    "EMPTY_LIST": _pushes(lambda _: []),
    "EMPTY_DICT": _pushes(lambda _: {}),
    "EMPTY_SET": _pushes(lambda _: set()),
    "EMPTY_TUPLE": _pushes(lambda _: ()),
    "TUPLE": _groups(tuple),
    "TUPLE1": _pops(1),
    "TUPLE2": _pops(2),
    "TUPLE3": _pops(3),
    "LIST": _groups(list),
    "DICT": _groups(lambda items: ordered_dict(zip(items[::2], items[1::2], strict=True))),
    "FROZENSET": _groups(lambda items: frozenset(map(hashable, items))),
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
