"""What every reader gives back: arrays read from disk when asked for; the error for damaged files."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

_START = 64  # bytes: arrays begin at a multiple, or frameworks copy them


class CheckpointError(OSError):
    """A checkpoint file that is damaged, incomplete, hostile or of no known format."""


class LazyArray:
    """An array on disk (or still to be computed): shape and dtype now, the numbers when `read` is called.

    Calling the object is the same as `read`.

    Attributes:
        shape: tuple of ints.
        dtype: NumPy dtype as stored; bfloat16 is `ml_dtypes.bfloat16`.
        nbytes: size of the array that `read` gives.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, read: Callable[[], np.ndarray]):
        """Keeps `read`, which must give an array of this shape and dtype each time it is called."""
        self.shape = tuple(shape)
        self.dtype = np.dtype(dtype)
        self._read = read

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def read(self) -> np.ndarray:
        """Reads the array, of `shape` and `dtype`; nothing is kept, a second call reads again."""
        return self._read()

    __call__ = read

    def blocks(self, memory: np.ndarray) -> Iterator[np.ndarray]:
        """The array a few rows at a time, as many as `memory` has, each to be used before the next.

        Args:
            memory: a contiguous array of this dtype, whose rows are shaped as this array's are; it may be
                overwritten with each block.
        """
        array = self.read()
        for first in range(0, len(array), len(memory)):
            yield array[first : first + len(memory)]

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype={self.dtype.name})"


class StoredArray(LazyArray):
    """An array that lies in a file in one piece, row by row; of this one blocks need no other memory."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, path: Path, offset: int):
        """Keeps the file and at which of its bytes the numbers begin."""
        super().__init__(shape, dtype, self._read_whole)
        self._path = path
        self._offset = offset
        self._ahead: tuple[np.ndarray, int] | None = None  # an array, and how many of its bytes are read

    @contextlib.contextmanager
    def read_ahead(self) -> Iterator[None]:
        """Reads the array in another thread, while Python does what is inside; the next `read` gives it.

        In one call, before which Python's lock is not needed: a thread that asks for it waits.
        """
        array = empty(self.shape, self.dtype)
        with open_at(self._path, self._offset) as file, ThreadPoolExecutor(1) as pool:
            reading = pool.submit(file.readinto, _bytes(array))
            yield
        self._ahead = array, reading.result()

    def _read_whole(self) -> np.ndarray:
        array, done = self._ahead or (empty(self.shape, self.dtype), 0)
        self._ahead = None
        with open_at(self._path, self._offset + done) as file:
            read_block(file, array, done)
        return array

    def blocks(self, memory: np.ndarray) -> Iterator[np.ndarray]:
        """As in `LazyArray`, but each block is read into `memory`."""
        with open_at(self._path, self._offset) as file:
            for first in range(0, self.shape[0], len(memory)):
                block = memory[: self.shape[0] - first]
                read_block(file, block)
                yield block


class Checkpoint(Mapping[str, LazyArray]):
    """The weights of one checkpoint: {name in the file: LazyArray}, in the file's order.

    Attributes:
        path: the file (or the index of the shards) it was read from.
        format: how it names its weights: "pt" (with dots) or "tf" (with slashes).
        metadata: what else the file says, e.g. {"format": "pt"} or {"encoder_params": {...}}.
    """

    def __init__(self, path: Path, arrays: dict[str, LazyArray], metadata: dict[str, Any] | None = None):
        """Takes the arrays as they are named in the file."""
        self.path = Path(path)
        self.format = "tf" if any("/" in name for name in arrays) else "pt"
        self.metadata = dict(metadata or {})
        self._arrays = arrays

    def __getitem__(self, name: str) -> LazyArray:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    def __repr__(self) -> str:
        return f"Checkpoint({str(self.path)!r}, {len(self)} arrays, format={self.format!r})"


def numpy_dtype(name: Any) -> np.dtype:
    """The NumPy dtype for a name such as "float32" or "bfloat16" (or for a dtype)."""
    if str(name) == "bfloat16":
        import ml_dtypes

        return np.dtype(ml_dtypes.bfloat16)
    return np.dtype(name)


def empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """A new array without values; a large one gets pages of its own.

    For these, NumPy would ask Linux for huge pages, which it may have to make room for: a third of the time
    of loading. They start where a framework can take them over instead of copying them.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < 2**20 or not hasattr(mmap, "MAP_PRIVATE"):
        memory = np.empty(size + _START, np.uint8)
        first = -memory.ctypes.data % _START
        return memory[first : first + size].view(dtype).reshape(shape)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, dtype).reshape(shape)


def open_at(path: Path, offset: int) -> FileIO:
    """Opens a file for reading from one of its bytes on."""
    file = FileIO(path)
    file.seek(offset)
    return file


def read_block(file: FileIO, array: np.ndarray, done: int = 0) -> None:
    """Fills a contiguous array with the next numbers of an open file.

    Args:
        file: at the first byte that is missing.
        array: to be filled.
        done: how many of its bytes have been read before.

    Raises:
        CheckpointError: if the file ends before, e.g. because it changed since it was opened.
    """
    rest = _bytes(array)[done:]
    while rest and (got := file.readinto(rest)):
        rest = rest[got:]
    if rest:
        found = array.nbytes - len(rest)
        raise CheckpointError(
            f"{file.name}: {array.nbytes} bytes expected at {file.tell() - found}, {found} found: "
            "the file is cut off"
        )


def _bytes(array: np.ndarray) -> memoryview:
    return array.reshape(-1).view(np.uint8).data


def file_size(file: BinaryIO) -> int:
    """Size in bytes of an open file."""
    return os.fstat(file.fileno()).st_size
