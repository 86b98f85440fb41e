"""PyTorch's .bin / .pt / .cp files without PyTorch: the zip container and the one before PyTorch 1.6.

A file is checked whole when it is opened (every storage lies inside the file, every tensor inside its
storage, no size is trusted); the numbers of a tensor are read when asked for. Optimizer state is never read.
"""

from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dpr_tf.weights import pickles
from dpr_tf.weights.arrays import (
    Checkpoint,
    CheckpointError,
    LazyArray,
    StoredArray,
    empty,
    file_size,
    numpy_dtype,
    open_at,
    read_block,
)
from dpr_tf.weights.pickled import INERT_CLASS, Record, Storage, Tensor

ZIP_START = b"PK\x03\x04"
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a pickled magic number
LEGACY_PROTOCOL = 1001

# facebookresearch/DPR's CheckpointState, in order, when it was saved as the named tuple itself.
CHECKPOINT_STATE = ("model_dict", "optimizer_dict", "scheduler_dict", "offset", "epoch", "encoder_params")

# Under which name training scripts put the weights beside other things.
NESTED = ("model_dict", "state_dict", "model_state_dict", "model")

_LOCAL_HEADER = struct.Struct("<4s22xHH")


def read_torch(path: Path) -> Checkpoint:
    """Reads what `torch.save` wrote: a state_dict, or a training checkpoint that holds one.

    Args:
        path: the file.

    Returns:
        The tensors by key; `metadata["encoder_params"]` holds those of an original DPR checkpoint, as plain
        data.

    Raises:
        CheckpointError: if the file is damaged, cut off, compressed, holds no tensors, or its pickle wants to
            do anything but describe tensors (nothing of it is run).
    """
    path = Path(path)
    with open(path, "rb") as file:
        zipped = file.read(4) == ZIP_START
        file.seek(0)
        content, places = _read_zip(path, file) if zipped else _read_legacy(path, file)
    tensors, metadata = _weights(path, content)
    arrays = {key: _lazy(path, key, tensor, places) for key, tensor in tensors.items()}
    return Checkpoint(path, arrays, metadata)


# Containers: each gives the unpickled object and {storage key: (byte offset, bytes)}.


def _read_zip(path: Path, file: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    members = _members(path, file)
    roots = [name.removesuffix("/data.pkl") for name in members if name.endswith("/data.pkl")]
    if len(roots) != 1 or "/" in roots[0] or "\\" in roots[0] or roots[0] in ("", ".", ".."):
        raise CheckpointError(
            f"{path}: a zip file, but not one that torch.save wrote: one member <name>/data.pkl expected, "
            f"found {sorted(name for name in members if name.endswith('data.pkl'))}"
        )
    front = roots[0] + "/"
    if front + "constants.pkl" in members:
        raise CheckpointError(f"{path}: a TorchScript program; save the model's state_dict() with torch.save")
    _check_byte_order(path, _member_bytes(file, members.get(front + "byteorder"), 16) or b"little")
    start, size = members[front + "data.pkl"]
    file.seek(start)
    if size > pickles.LARGEST_PICKLE:
        raise CheckpointError(f"{path}: its data.pkl takes {size} bytes, which no state_dict needs")
    content = pickles.load(io.BytesIO(file.read(size)), str(path))
    data = front + "data/"
    return content, {name[len(data) :]: place for name, place in members.items() if name.startswith(data)}


def _members(path: Path, file: BinaryIO) -> dict[str, tuple[int, int]]:
    """{member: (byte offset of its data, bytes)}, all inside the file and stored as they are."""
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise CheckpointError(
            f"{path}: damaged or cut off ({error}): its zip directory cannot be read. Download or save it "
            "again"
        ) from error
    end = file_size(file)
    members = {}
    for info in infos:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(
                f"{path}: its member {info.filename!r} is compressed or encrypted; torch.save stores "
                "members as they are. Unpack and save the weights again with torch.save or as safetensors"
            )
        if info.header_offset < 0:
            raise CheckpointError(f"{path}: damaged: {info.filename!r} begins before the file")
        file.seek(info.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size or not header.startswith(ZIP_START):
            raise CheckpointError(f"{path}: damaged: no zip header where {info.filename!r} should begin")
        _, name_size, extra_size = _LOCAL_HEADER.unpack(header)
        start = info.header_offset + _LOCAL_HEADER.size + name_size + extra_size
        if start + info.file_size > end:
            raise CheckpointError(
                f"{path}: cut off: {info.filename!r} ends at byte {start + info.file_size}, the file at {end}"
            )
        members[info.filename] = (start, info.file_size)
    return members


def _member_bytes(file: BinaryIO, place: tuple[int, int] | None, most: int) -> bytes:
    if place is None:
        return b""
    file.seek(place[0])
    return file.read(min(place[1], most))


def _check_byte_order(path: Path, order: bytes) -> None:
    if order.strip() != b"little":
        raise CheckpointError(
            f"{path}: written on a big-endian machine; save it again on a little-endian one"
        )


def _read_legacy(path: Path, file: BinaryIO) -> tuple[Any, dict[str, tuple[int, int]]]:
    if file.read(len(LEGACY_START)) != LEGACY_START:
        raise CheckpointError(
            f"{path}: not a file that torch.save wrote (neither a zip file nor PyTorch's older format)"
        )
    end = file_size(file)
    protocol = pickles.load(file, str(path), end)
    if protocol != LEGACY_PROTOCOL:
        raise CheckpointError(f"{path}: protocol {LEGACY_PROTOCOL} expected, found {str(protocol)[:40]}")
    system = pickles.load(file, str(path), end)
    little = system.get("little_endian", True) if isinstance(system, dict) else True
    _check_byte_order(path, b"little" if little else b"big")
    content = pickles.load(file, str(path), end)
    keys = pickles.load(file, str(path), end)
    sizes = {tensor.storage.key: tensor.storage for tensor in _tensors_below(content)}
    return content, _legacy_places(path, file, keys, sizes, end)


def _legacy_places(
    path: Path, file: BinaryIO, keys: Any, storages: dict[str, Storage], end: int
) -> dict[str, tuple[int, int]]:
    """Walks over the storages behind the pickles: for each its length, then its numbers."""
    places = {}
    position = file.tell()
    for key in map(str, keys if isinstance(keys, list) else ()):
        if key not in storages:
            raise CheckpointError(f"{path}: damaged: storage {key[:40]!r} belongs to no tensor")
        file.seek(position)
        header = file.read(8)
        size = int.from_bytes(header, "little", signed=True) * numpy_dtype(storages[key].dtype).itemsize
        position += 8
        if len(header) < 8 or size < 0 or position + size > end:
            raise CheckpointError(
                f"{path}: cut off: a storage of {size} bytes begins at byte {position}, the file ends at "
                f"{end}. Download or save it again"
            )
        places[key] = (position, size)
        position += size
    return places


def _tensors_below(content: Any) -> list[Tensor]:
    """Every tensor anywhere in an unpickled object, each object visited once."""
    found, seen, waiting = [], set(), [content]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, (dict, list, tuple, set, frozenset, Record)) and id(item) not in seen:
            seen.add(id(item))
            if isinstance(item, Record):
                waiting += [item.args, item.state]
            else:
                waiting += item.values() if isinstance(item, dict) else item
    return found


# From the unpickled object to arrays


def _weights(path: Path, content: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
    if isinstance(content, Record) and content.name.endswith(INERT_CLASS):
        content = dict(zip(CHECKPOINT_STATE, content.args, strict=False))
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: a state_dict expected, found a {type(content).__name__}")
    metadata = {}
    if "encoder_params" in content:
        metadata["encoder_params"] = _plain(content["encoder_params"])
    inner = [content, *(content[name] for name in NESTED if isinstance(content.get(name), dict))]
    for candidate in inner:
        tensors = {str(key): value for key, value in candidate.items() if isinstance(value, Tensor)}
        if tensors:
            return tensors, metadata
    raise CheckpointError(
        f"{path}: no tensors in it, neither by themselves nor under {', '.join(NESTED)}; "
        f"found the entries {sorted(map(str, content))[:10]}"
    )


def _lazy(path: Path, key: str, tensor: Tensor, places: dict[str, tuple[int, int]]) -> LazyArray:
    """Describes one tensor, after checking that it lies inside its storage and that inside the file."""
    dtype = numpy_dtype(tensor.storage.dtype)
    if tensor.storage.key not in places:
        raise CheckpointError(f"{path}: {key}: its storage {tensor.storage.key[:40]!r} is not in the file")
    start, available = places[tensor.storage.key]
    first = tensor.storage.start + tensor.offset
    nothing = 0 in tensor.shape
    steps = sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
    count = 0 if nothing else 1 + steps
    if (first + count) * dtype.itemsize > available or tensor.storage.size * dtype.itemsize > available:
        raise CheckpointError(
            f"{path}: {key}: shape {tensor.shape} with strides {tensor.strides} at element {first} does not "
            f"fit into its storage of {available} bytes: the file is damaged"
        )

    offset = start + first * dtype.itemsize
    if nothing or _in_one_piece(tensor):
        return StoredArray(tensor.shape, dtype, path, offset)

    def read() -> np.ndarray:
        block = empty((count,), dtype)
        with open_at(path, offset) as file:
            read_block(file, block)
        strides = tuple(step * dtype.itemsize for step in tensor.strides)
        return np.lib.stride_tricks.as_strided(block, tensor.shape, strides, writeable=False)

    return LazyArray(tensor.shape, dtype, read)


def _in_one_piece(tensor: Tensor) -> bool:
    """Whether the numbers lie row by row, without gaps."""
    expected = 1
    for n, step in zip(reversed(tensor.shape), reversed(tensor.strides), strict=True):
        if n > 1 and step != expected:
            return False
        expected *= n
    return True


def _plain(value: Any, depth: int = 0) -> Any:
    """Configuration as dicts, lists and numbers; omegaconf is unwrapped, other objects become text."""
    if depth > 20:
        return None
    if isinstance(value, Record) and isinstance(value.state, dict):
        inner = value.state.get("_content", value.state.get("_val"))
        return _plain(inner, depth + 1)
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)) and not isinstance(value, (Tensor, Storage, pickles.Global)):
        return [_plain(item, depth + 1) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return getattr(value, "name", type(value).__name__)
