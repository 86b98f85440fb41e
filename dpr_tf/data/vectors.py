"""Vectors of passages in DPR's own files: pickles of a list of (id, float32[dim]), read as mere data."""

from __future__ import annotations

import os
import pickle
import struct
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.data.faults import Fault, Scan, Scanned, faulty, shown, sound
from dpr_tf.data.files import opened, written
from dpr_tf.weights.arrays import CheckpointError
from dpr_tf.weights.pickled import Dialect, Record
from dpr_tf.weights.pickles import load_items

_RECONSTRUCT = {"numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct"}
_FROM_BUFFER = {"numpy.core.numeric._frombuffer", "numpy._core.numeric._frombuffer"}  # protocol 5
_TEXT_AS_BYTES = "_codecs.encode"  # protocols 0 to 2
_NAMES = _RECONSTRUCT | _FROM_BUFFER | {_TEXT_AS_BYTES, "numpy.ndarray", "numpy.dtype"}
_SHARD = Dialect(
    "list of (id, vector)",
    _NAMES.__contains__,
    "Expected is a list of (id, float32[dim]), as DPR's generate_dense_embeddings.py writes it",
)
_FLOATS = {"f2", "f4", "f8"}
_BATCH = 1000  # items between two marks, as Python's pickle


class PassageVector(NamedTuple):
    """The vector of a passage.

    Attributes:
        id: of the passage.
        vector: float32 [dim].
    """

    id: str
    vector: np.ndarray


def read_vectors(path: str | os.PathLike[str]) -> Iterator[PassageVector]:
    """Streams the vectors of one of DPR's shards; its pickle is read as data and runs nothing.

    Args:
        path: a pickle of a list of (id, vector), of any protocol; half and double precision become float32.

    Yields:
        The vectors in the order of the file, all of one dim.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for anything else than such a list, with the number of the item from 0.
    """
    return sound(path, scan_vectors(path))


def scan_vectors(path: str | os.PathLike[str]) -> Scan[PassageVector]:
    """`read_vectors`, with the faults in their places. There are no lines: fields begin with `[item]`."""
    dim = None
    with opened(path) as file:
        try:
            for number, item in enumerate(load_items(file, "not a shard of vectors", _SHARD)):
                try:
                    found = _passage_vector(item)
                    dim = dim or len(found.vector)
                    if len(found.vector) != dim:
                        raise ValueError(f"a vector of {len(found.vector)} numbers after one of {dim}")
                    if not np.isfinite(found.vector).all():
                        raise ValueError("a vector with numbers that are infinite or not a number")
                except (ValueError, TypeError) as error:
                    yield faulty(0, str(error), f"[{number}]")
                else:
                    yield Scanned(0, found)
        except CheckpointError as error:
            yield Scanned(0, PassageVector("", np.empty(0)), (Fault(0, "", str(error)),))


def _passage_vector(item: Any) -> PassageVector:
    if not isinstance(item, (tuple, list)) or len(item) != 2:
        raise ValueError(f"expected (id, vector), found {shown(item)}")
    name, vector = item
    if type(name) not in (str, int):
        raise ValueError(f"expected an id that is a string or a whole number, found {shown(name)}")
    return PassageVector(str(name), _array(vector))


def _array(value: Any) -> np.ndarray:
    """float32 [dim] from a pickled array of floats."""
    if not isinstance(value, Record):
        raise ValueError(f"expected a NumPy array, found {shown(value)}")
    if value.name in _FROM_BUFFER:
        data, dtype, shape, _ = value.args
    elif value.name in _RECONSTRUCT and isinstance(value.state, tuple) and len(value.state) == 5:
        _, shape, dtype, _, data = value.state
    else:
        raise ValueError(f"expected a NumPy array, found {shown(value)}")
    if isinstance(data, Record) and data.name == _TEXT_AS_BYTES:
        data = str(data.args[0]).encode("latin1")
    numbers = np.frombuffer(data, _dtype(dtype))
    if len(shape) != 1 or shape[0] != len(numbers) or not len(numbers):
        raise ValueError(f"expected a vector, found an array of shape {shown(shape)}")
    return numbers.astype(np.float32)


def _dtype(value: Any) -> np.dtype:
    code = value.args[0] if isinstance(value, Record) and value.name == "numpy.dtype" and value.args else None
    if code not in _FLOATS or not isinstance(value.state, tuple) or len(value.state) < 2:
        raise ValueError(f"expected a vector of floats, found {shown(code)}")
    return np.dtype(code).newbyteorder(">" if value.state[1] == ">" else "<")


def write_vectors(path: str | os.PathLike[str], vectors: Iterable[tuple[str, np.ndarray]]) -> int:
    """Writes vectors as they come, as one of DPR's shards, which `pickle.load` reads with any NumPy.

    Args:
        path: the file, which appears when it is complete.
        vectors: ids and float32 [dim].

    Returns:
        The number of vectors.

    Raises:
        ValueError: for a vector of another shape than the first.
    """
    dim, count = None, 0
    with written(path) as file:
        file.write(_HEAD)
        for count, (name, vector) in enumerate(vectors, start=1):
            array = np.asarray(vector, "<f4")
            dim = dim or array.shape
            if array.ndim != 1 or array.shape != dim:
                raise ValueError(
                    f"passage {name!r}: expected a vector of the first one's shape {dim}, found {array.shape}"
                )
            if count % _BATCH == 1:
                file.write(pickle.MARK if count == 1 else pickle.APPENDS + pickle.MARK)
            file.write(_item(name, array))
        file.write((pickle.APPENDS if count else b"") + pickle.STOP)
    return count


# What `pickle.dump` would write in protocol 3, but without a memo that grows with the list. Below 10 are the
# numbers of what the dtype remembers for itself.
_MAKE, _CLASS, _DTYPE = (pickle.BINGET + bytes([number]) for number in (10, 11, 12))


def _remembered(value: bytes, get: bytes) -> bytes:
    return value + pickle.BINPUT + get[1:] + pickle.POP


_HEAD = (
    pickle.PROTO
    + b"\x03"
    # The old name of the module, which new NumPy knows too.
    + _remembered(pickle.GLOBAL + b"numpy.core.multiarray\n_reconstruct\n", _MAKE)
    + _remembered(pickle.GLOBAL + b"numpy\nndarray\n", _CLASS)
    + _remembered(pickle.dumps(np.dtype("<f4"), protocol=3)[2:-1], _DTYPE)
    + pickle.EMPTY_LIST
)


def _item(name: str, vector: np.ndarray) -> bytes:
    """(name, _reconstruct(ndarray, (0,), b"b") with the state (1, (dim,), dtype, False, bytes))."""
    text, data = name.encode(), vector.tobytes()
    empty = _MAKE + _CLASS + pickle.BININT1 + b"\x00" + pickle.TUPLE1 + pickle.SHORT_BINBYTES + b"\x01b"
    shape = pickle.BININT + struct.pack("<i", len(vector)) + pickle.TUPLE1
    state = pickle.MARK + pickle.BININT1 + b"\x01" + shape + _DTYPE + pickle.NEWFALSE
    return b"".join(
        [
            *(pickle.BINUNICODE, struct.pack("<I", len(text)), text),
            *(empty, pickle.TUPLE3, pickle.REDUCE),
            *(state, pickle.BINBYTES, struct.pack("<I", len(data)), data, pickle.TUPLE, pickle.BUILD),
            pickle.TUPLE2,
        ]
    )
