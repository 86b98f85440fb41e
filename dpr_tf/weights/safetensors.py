"""The safetensors format, read and written: 8 bytes of length, a JSON header, then the numbers.

The format is small enough to be read here directly, so that each tensor is read into one new array and no
memory map stays behind.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tf.weights.arrays import (
    Checkpoint,
    CheckpointError,
    LazyArray,
    StoredArray,
    file_size,
    numpy_dtype,
)

LARGEST_HEADER = 100_000_000  # bytes; the limit of the format's own library
DTYPES = {  # in the order in which the numbers are stored
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "F32": "float32",
    "U32": "uint32",
    "I32": "int32",
    "BF16": "bfloat16",
    "F16": "float16",
    "U16": "uint16",
    "I16": "int16",
    "I8": "int8",
    "U8": "uint8",
    "BOOL": "bool",
}
CODES = {name: code for code, name in DTYPES.items()}


def read_safetensors(path: Path) -> Checkpoint:
    """Reads the header of a safetensors file; numbers are read when asked for.

    Args:
        path: the file. Its `format` metadata may be anything or absent: the names tell.

    Returns:
        The tensors by name; `metadata` is the header's.

    Raises:
        CheckpointError: if the file is cut off, its header is no header, or a tensor's offsets do not fit its
            shape, the file, or the other tensors.
    """
    path = Path(path)
    header, data, size = _header(path)
    metadata = header.pop("__metadata__", None)
    entries = {name: _entry(path, name, entry) for name, entry in header.items()}
    end = 0
    for name, (_, _, first, last) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if first != end:
            raise CheckpointError(
                f"{path}: damaged: {name} begins at byte {first} of the data, expected {end}"
            )
        end = last
    if end != size:
        raise CheckpointError(
            f"{path}: cut off or damaged: its header describes {end} bytes of data, the file has {size}. "
            "Download or save it again"
        )
    arrays = {
        name: _lazy(path, data + first, dtype, shape) for name, (dtype, shape, first, _) in entries.items()
    }
    return Checkpoint(path, arrays, metadata if isinstance(metadata, dict) else None)


def write_safetensors_file(path: Path, arrays: Mapping[str, LazyArray], metadata: Mapping[str, str]) -> None:
    """Writes one safetensors file, one array in memory at a time.

    Args:
        path: where; overwritten.
        arrays: by name; written by dtype, then by name, as the format's own library does.
        metadata: texts for the header, e.g. {"format": "pt"}.

    Raises:
        ValueError: if an array has a dtype that the format does not have, or another shape than announced.
    """
    for name, array in arrays.items():
        if array.dtype.name not in CODES:
            raise ValueError(f"{name}: safetensors has no dtype {array.dtype.name}")
    ranks = list(CODES)
    order = sorted(arrays, key=lambda name: (ranks.index(arrays[name].dtype.name), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    end = 0
    for name in order:
        array = arrays[name]
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [end, end + array.nbytes],
        }
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers are aligned
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(_bytes(name, arrays[name]))


def _bytes(name: str, lazy: LazyArray) -> memoryview:
    array = np.ascontiguousarray(lazy.read())
    if array.nbytes != lazy.nbytes or array.dtype != lazy.dtype:
        raise ValueError(
            f"{name}: {lazy.dtype} {lazy.shape} was announced, {array.dtype} {array.shape} was produced"
        )
    return array.reshape(-1).view(np.uint8).data


def _header(path: Path) -> tuple[dict[str, Any], int, int]:
    """The parsed header, the byte where the data begins, and the data's size."""
    with open(path, "rb") as file:
        end = file_size(file)
        length = int.from_bytes(file.read(8), "little")
        if end < 8 or length > min(end - 8, LARGEST_HEADER):
            raise CheckpointError(
                f"{path}: no safetensors file, or cut off: a header of {length} bytes in a file of {end} "
                "bytes. Download or save it again"
            )
        text = file.read(length)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: damaged: the safetensors header is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise CheckpointError(f"{path}: damaged: the safetensors header is no JSON object")
    return header, 8 + length, end - 8 - length


def _no_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key!r} appears twice")
        found[key] = value
    return found


def _entry(path: Path, name: str, entry: Any) -> tuple[np.dtype, tuple[int, ...], int, int]:
    """(dtype, shape, first byte, last byte) of one tensor, fitting each other."""
    entry = entry if isinstance(entry, dict) else {}
    code, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(code, str) or code not in DTYPES:
        raise CheckpointError(
            f"{path}: {name}: dtype {str(code)[:40]!r} is not supported; one of {', '.join(DTYPES)} expected"
        )
    if not (_whole_numbers(shape) and _whole_numbers(offsets) and len(offsets) == 2):
        raise CheckpointError(f"{path}: damaged: {name} has no proper shape and data_offsets")
    dtype = numpy_dtype(DTYPES[code])
    needed = math.prod(shape) * dtype.itemsize
    if offsets[1] - offsets[0] != needed:
        raise CheckpointError(
            f"{path}: damaged: {name} of shape {shape} and dtype {code} needs {needed} bytes, "
            f"its data_offsets {offsets} give {offsets[1] - offsets[0]}"
        )
    return dtype, tuple(shape), offsets[0], offsets[1]


def _whole_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def _lazy(path: Path, offset: int, dtype: np.dtype, shape: tuple[int, ...]) -> LazyArray:
    return StoredArray(shape, dtype, path, offset)
