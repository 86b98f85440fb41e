"""Indexes on disk: a folder of parts and a manifest that names them. Knows arrays and checksums, no search.

Parts are written under new names, and the manifest, replaced in one step, is what makes them the index. So
whenever the process is killed, the folder holds the whole index of before or the whole one of after.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MANIFEST = "manifest.json"
FORMAT = "dpr_tf index"
VERSION = 1

Part = Callable[[Path], None]  # writes a file

_PART = re.compile(r"[a-z]+-[0-9a-f]{16}\.part")
_TYPES: dict[str, Any] = {
    "kind": str,
    "dim": int,
    "rows": int,
    "largest_norm": (int, float),
    "origin": (dict, type(None)),
    "data": list,
    "options": dict,
    "files": dict,
}


class Saved(NamedTuple):
    """An index on disk whose files are there and whole.

    Attributes:
        folder: where it lies.
        manifest: what manifest.json says.
        memory_map: whether to map the large arrays instead of reading them.
    """

    folder: Path
    manifest: dict[str, Any]
    memory_map: bool = False

    @property
    def rows(self) -> int:
        """Number of rows, removed ones included."""
        return int(self.manifest["rows"])

    def path(self, part: str) -> Path:
        """The file of a part."""
        try:
            return self.folder / self.manifest["files"][part]["name"]
        except KeyError:
            raise ValueError(
                f"{self.folder / MANIFEST} names no file for {part!r}; build the index again"
            ) from None

    def array(self, part: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """Reads or maps an array, and checks its shape (-1 fits any length) and dtype."""
        path = self.path(part)
        array = np.load(path, mmap_mode="r" if self.memory_map else None, allow_pickle=False)
        fits = array.ndim == len(shape) and all(a in (-1, b) for a, b in zip(shape, array.shape, strict=True))
        if not fits or array.dtype != dtype:
            raise ValueError(
                f"{path}: expected {dtype} {list(shape)}, found {array.dtype} {list(array.shape)}; "
                "build the index again"
            )
        return array


def save(folder: str | os.PathLike[str], manifest: Mapping[str, Any], parts: Mapping[str, Part]) -> None:
    """Writes an index, over an earlier one if there is one.

    Args:
        folder: made if absent; may hold an earlier index, nothing else.
        manifest: what to write into manifest.json beside format, version and files.
        parts: name, of small letters, to what writes the file.

    Raises:
        ValueError: if the folder holds files that are not an index's.
        OSError: if it cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    strangers = sorted(path.name for path in folder.iterdir() if not _is_ours(path.name))
    if strangers:
        raise ValueError(f"{folder} holds {strangers[0]!r}, which is no index's file; save to a new folder")
    files = {}
    for name, write in parts.items():
        path = folder / f"{name}-{secrets.token_hex(8)}.part"
        write(path)
        files[name] = {"name": path.name, "bytes": path.stat().st_size, "sha256": sha256_of(path)}
        _sync(path)
    written = folder / f"{MANIFEST}.new"
    content = {"format": FORMAT, "version": VERSION, **manifest, "files": files}
    written.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _sync(written)
    os.replace(written, folder / MANIFEST)
    _sync(folder)
    kept = {entry["name"] for entry in files.values()}
    for path in folder.iterdir():  # of earlier indexes, and of saves that were cut short
        if _PART.fullmatch(path.name) and path.name not in kept:
            path.unlink()


def read(folder: str | os.PathLike[str], memory_map: bool, verify: bool) -> Saved:
    """Reads a manifest and checks its files: sizes always, contents on request.

    Args:
        folder: what `save` wrote.
        memory_map: see `Saved`.
        verify: whether to compare checksums, which reads all of every file.

    Raises:
        OSError: if there is no such folder, or no complete index in it.
        ValueError: if manifest or files are damaged, or from a later version of dpr_tf.
    """
    manifest = read_manifest(folder)
    for name, entry in manifest["files"].items():
        _check_file(Path(folder), name, entry, verify)
    return Saved(Path(folder), manifest, memory_map)


def read_manifest(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads what the manifest says, without a look at the other files.

    Raises:
        OSError: if there is none.
        ValueError: if it is damaged, or from a later version of dpr_tf.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: there is no complete index here ({MANIFEST} is missing); save one first"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; build the index again") from None
    _check_manifest(path, manifest)
    return manifest


def write_array(path: Path, array: np.ndarray) -> None:
    """Writes an array as .npy."""
    with path.open("wb") as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def write_rows(
    path: Path, shape: tuple[int, int], dtype: np.dtype[Any], blocks: Iterable[np.ndarray]
) -> None:
    """Writes an array that comes in blocks as .npy."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            np.ascontiguousarray(block).tofile(file)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def _check_manifest(path: Path, manifest: Any) -> None:
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not the manifest of an index; a folder of vectors becomes one by `dpr-tf index`"
        )
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{path}: this is version {manifest.get('version')!r} of the format, dpr_tf here reads "
            f"{VERSION}; upgrade dpr_tf, or build the index again"
        )
    for key, kind in _TYPES.items():
        if not isinstance(manifest.get(key), kind):
            raise ValueError(f"{path} is damaged: {key} is {manifest.get(key)!r}; build the index again")


def _check_file(folder: Path, name: str, entry: Any, verify: bool) -> None:
    if not isinstance(entry, dict) or not _PART.fullmatch(str(entry.get("name"))):
        raise ValueError(
            f"{folder / MANIFEST} is damaged: the file of {name!r} is {entry!r}; build the index again"
        )
    path = folder / entry["name"]
    size = path.stat().st_size
    if size != entry.get("bytes"):
        raise ValueError(f"{path}: expected {entry.get('bytes')} bytes, found {size}; build the index again")
    if verify and sha256_of(path) != entry.get("sha256"):
        raise ValueError(f"{path}: its SHA-256 differs from the manifest's; build the index again")


def _is_ours(name: str) -> bool:
    return name in (MANIFEST, f"{MANIFEST}.new") or _PART.fullmatch(name) is not None


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
