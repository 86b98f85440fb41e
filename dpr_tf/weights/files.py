"""A weights file of any format and any sharding, read and written.

What a file is, its first bytes decide, not its name. Writing goes to a folder aside; files come to their
place when all of them are complete.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tf.weights import hdf5, safetensors, torch_files
from dpr_tf.weights.arrays import Checkpoint, CheckpointError, LazyArray

__all__ = [
    "WEIGHT_FILES",
    "Checkpoint",
    "CheckpointError",
    "LazyArray",
    "read_checkpoint",
    "shard_names",
    "write_h5",
    "write_safetensors",
]

_SAFETENSORS = ("model.safetensors", "model.safetensors.index.json")
_H5 = ("tf_model.h5", "tf_model.h5.index.json")
_TORCH = ("pytorch_model.bin", "pytorch_model.bin.index.json")

# Which file of a folder to take, by `from_pt`: v4.34's order, then the formats that it would not have read.
WEIGHT_FILES: dict[bool, tuple[str, ...]] = {
    False: _SAFETENSORS + _H5 + _TORCH,
    True: _TORCH + _SAFETENSORS + _H5,
}

_OUTSIDE = re.compile(r"[/\\:\0]|^\.{0,2}$")  # what is no plain name of a file in the folder

LFS_START = b"version https://git-lfs"
_UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def read_checkpoint(path: str | os.PathLike, from_pt: bool = False) -> Checkpoint:
    """Opens a checkpoint; the numbers of an array are read from disk when asked for.

    Args:
        path: a file (.safetensors, .bin, .pt, .cp, .h5, in one piece), the .index.json of shards that lie
            beside it, or a folder with one of `WEIGHT_FILES`.
        from_pt: for a folder, which of its files is preferred.

    Returns:
        {name in the file: LazyArray}.

    Raises:
        FileNotFoundError: if there is no such file, or no weights in the folder.
        CheckpointError: if the file, its index or a shard is damaged, incomplete, hostile or of no known
            format.
    """
    path = Path(path)
    if path.is_dir():
        path = _file_in(path, from_pt)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    return _read_index(path) if path.suffix == ".json" else _read_file(path)


def shard_names(index: str | os.PathLike) -> list[str]:
    """The files that an .index.json refers to, for downloading them: plain names, sorted.

    Raises:
        CheckpointError: if the file is no index, or names files outside its folder.
    """
    return sorted(set(_parse_index(Path(index))[0].values()))


def write_safetensors(
    folder: str | os.PathLike,
    arrays: Mapping[str, Any],
    max_shard_size: int | str = "10GB",
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Writes model.safetensors, or shards and their index, as Hugging Face lays them out.

    Args:
        folder: made if it does not exist. Older weights of this format in it are replaced, complete ones by
            complete.
        arrays: by name: NumPy arrays, LazyArrays, or functions that give an array (called once for its shape
            and once for its numbers). One array at a time is in memory.
        max_shard_size: bytes per file, or a text such as "500MB"; a larger array has a file of its own.
        metadata: texts for the header; {"format": "pt"} if not given.

    Returns:
        The files written.

    Raises:
        ValueError: if `max_shard_size` is not understood or an array's dtype does not exist in the format.
        OSError: if writing fails; the folder is then as before.
    """
    header = dict(metadata or {"format": "pt"})

    def write(path: Path, shard: dict[str, LazyArray], _: bool) -> None:
        safetensors.write_safetensors_file(path, shard, header)

    return _write(Path(folder), "model", ".safetensors", arrays, max_shard_size, write, "")


def write_h5(
    folder: str | os.PathLike, arrays: Mapping[str, Any], scope: str, max_shard_size: int | str = "10GB"
) -> list[Path]:
    """Writes tf_model.h5, or shards and their index, as Hugging Face v4.34's TensorFlow models do.

    Args:
        folder: as in `write_safetensors`.
        arrays: by TensorFlow name without the scope, e.g. "ctx_encoder/encode_proj/bias:0"; bfloat16 becomes
            float32.
        scope: `names.TF_SCOPE` of the head.
        max_shard_size: as in `write_safetensors`.

    Returns:
        The files written.

    Raises:
        ValueError: if `max_shard_size` is not understood.
        OSError: if writing fails; the folder is then as before.
    """

    def write(path: Path, shard: dict[str, LazyArray], whole: bool) -> None:
        if whole:
            hdf5.write_hdf5_file(path, shard, scope)
        else:
            hdf5.write_hdf5_shard(path, shard)

    return _write(Path(folder), "tf_model", ".h5", arrays, max_shard_size, write, scope + "/")


# Reading


def _file_in(folder: Path, from_pt: bool) -> Path:
    for name in WEIGHT_FILES[from_pt]:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(
        f"{folder}: no weights; one of {', '.join(WEIGHT_FILES[from_pt])} expected, "
        f"found {sorted(item.name for item in folder.iterdir())[:20]}"
    )


def _read_file(path: Path) -> Checkpoint:
    with open(path, "rb") as file:
        start = file.read(32)
    if start.startswith(LFS_START):
        raise CheckpointError(
            f"{path}: a Git LFS pointer, not the weights themselves. In the folder it was cloned to run "
            "`git lfs install` and `git lfs pull`, or download it from the Hub"
        )
    if path.suffix == ".keras":
        raise CheckpointError(f"{path}: a whole Keras model; keras.models.load_model reads it")
    if start.startswith(hdf5.HDF5_START):
        return hdf5.read_hdf5(path)
    if start.startswith((torch_files.ZIP_START, torch_files.LEGACY_START)):
        return torch_files.read_torch(path)
    if path.suffix == ".safetensors" or start[8:9] == b"{":
        return safetensors.read_safetensors(path)
    if path.suffix == ".h5":
        raise CheckpointError(f"{path}: not an HDF5 file. Download or save it again")
    return torch_files.read_torch(path)


def _read_index(path: Path) -> Checkpoint:
    places, metadata = _parse_index(path)
    shards: dict[str, list[str]] = {}
    for key, name in places.items():
        shards.setdefault(name, []).append(key)
    missing = [name for name in shards if not (path.parent / name).is_file()]
    if missing:
        raise CheckpointError(f"{path}: shards that are not in the folder: {_listed(missing)}; download them")
    found: dict[str, LazyArray] = {}
    absent = []
    for name, keys in sorted(shards.items()):
        shard = _read_file(path.parent / name)
        for key in keys:
            # The index of a tf_model.h5 puts the model's scope before the name.
            named = key if key in shard else key.partition("/")[2]
            if named in shard:
                found[key] = shard[named]
            else:
                absent.append(f"{key} in {name}")
    if absent:
        raise CheckpointError(
            f"{path}: weights that are not in the shard that the index names: {_listed(absent)}. Index and "
            "shards are not of one save; download or save them again"
        )
    return Checkpoint(path, {key: found[key] for key in places}, metadata)


def _parse_index(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    try:
        index = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not JSON ({error}). Download or save it again") from error
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()):
        raise CheckpointError(f'{path}: no index of shards: {{"weight_map": {{weight: file}}}} expected')
    outside = [repr(name) for name in set(places.values()) if _OUTSIDE.search(name)]
    if outside:
        raise CheckpointError(f"{path}: refused: shards that are not plain file names: {_listed(outside)}")
    metadata = index.get("metadata")
    return places, metadata if isinstance(metadata, dict) else {}


def _listed(items: list[str]) -> str:
    return ", ".join(sorted(items))


# Writing


def _write(
    folder: Path,
    stem: str,
    suffix: str,
    arrays: Mapping[str, Any],
    max_shard_size: int | str,
    write: Callable[[Path, dict[str, LazyArray], bool], None],
    index_scope: str,
) -> list[Path]:
    lazy = {name: _as_lazy(array) for name, array in arrays.items()}
    shards = _split(lazy, _bytes_of(max_shard_size))
    names = [stem + suffix]
    if len(shards) > 1:
        names = [f"{stem}-{i:05d}-of-{len(shards):05d}{suffix}" for i in range(1, len(shards) + 1)]
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".saving-", dir=folder))
    try:
        for name, shard in zip(names, shards, strict=True):
            write(aside / name, shard, len(shards) == 1)
        if len(shards) > 1:
            index = stem + suffix + ".index.json"
            _write_index(aside / index, names, shards, index_scope)
            names.append(index)
        for name in names:
            os.replace(aside / name, folder / name)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    _remove_older(folder, stem, suffix, names)
    return [folder / name for name in names]


def _write_index(path: Path, names: list[str], shards: list[dict[str, LazyArray]], scope: str) -> None:
    total = sum(array.nbytes for shard in shards for array in shard.values())
    places = {scope + key: name for name, shard in zip(names, shards, strict=True) for key in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _remove_older(folder: Path, stem: str, suffix: str, kept: list[str]) -> None:
    """Removes what an earlier save left under the same stem, which readers might take for the new one."""
    mine = re.compile(re.escape(stem) + r"(-\d{5}-of-\d{5})?" + re.escape(suffix) + r"(\.index\.json)?")
    for item in folder.iterdir():
        if item.name not in kept and mine.fullmatch(item.name):
            item.unlink()


def _split(arrays: dict[str, LazyArray], most: int) -> list[dict[str, LazyArray]]:
    shards: list[dict[str, LazyArray]] = [{}]
    size = 0
    for name, array in arrays.items():
        if shards[-1] and size + array.nbytes > most:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _as_lazy(array: Any) -> LazyArray:
    if isinstance(array, LazyArray):
        return array
    if callable(array):
        probe = np.asarray(array())
        return LazyArray(probe.shape, probe.dtype, lambda: np.asarray(array()))
    array = np.asarray(array)
    return LazyArray(array.shape, array.dtype, lambda: array)


def _bytes_of(size: int | str) -> int:
    if isinstance(size, str):
        match = re.fullmatch(r"\s*(\d+)\s*([KMG]I?B)\s*", size.upper())
        if match is None:
            raise ValueError(
                f"max_shard_size {size!r}: a number of bytes or a text such as '500MB' or '2GiB' expected"
            )
        size = int(match[1]) * _UNITS[match[2]]
    if not isinstance(size, int) or size <= 0:
        raise ValueError(f"max_shard_size {size!r}: must be a positive number of bytes")
    return size
