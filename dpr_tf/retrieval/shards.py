"""Vectors on disk: shards that appear whole, and a manifest of them. Knows ids and vectors, no model.

A shard is two files, NAME.npy with the vectors and NAME.json with the ids and the checksum of the first; NAME
is the fingerprint of what was embedded. The second file makes the shard, the manifest makes the store. Each
file is written aside and renamed, so whenever the process is killed, what can be read is whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.data.files import written
from dpr_tf.retrieval.cutting import Planned
from dpr_tf.retrieval.indexes import Origin
from dpr_tf.retrieval.indexes.files import sha256_of

MANIFEST = "manifest.json"
FORMAT = "dpr_tf vectors"
VERSION = 1
DTYPES = ("float32", "float16")

_SHARD = re.compile(r"\.?([0-9a-f]{32})\.(npy|json)(\.\d+\.partial)?")
_OURS = re.compile(rf"{_SHARD.pattern}|\.?{re.escape(MANIFEST)}(\.\d+\.partial)?")


class Shard(NamedTuple):
    """Vectors and what they belong to.

    Attributes:
        name: fingerprint of what was embedded.
        ids: of the passages.
        vectors: float32 or float16 [passages, dim], mapped from the file.
    """

    name: str
    ids: list[str]
    vectors: np.ndarray


class VectorStore:
    """The vectors of a passage collection in a folder; `embed` makes it.

    Args:
        folder: where.
        manifest: what its manifest.json says.

    Attributes:
        folder: as given.
        settings: what the vectors were made with: fingerprints of `model` and `tokenizer`, `token_types`,
            `max_length`, `dtype`, `dim`, `shard_size`; None where it is not known.
        fingerprint: of all that was embedded.
    """

    def __init__(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings: dict[str, Any] = dict(manifest["settings"])
        self._entries: list[dict[str, Any]] = manifest["shards"]
        names = "".join(entry["name"] for entry in self._entries)
        self.fingerprint = hashlib.blake2b(names.encode(), digest_size=16).hexdigest()

    @classmethod
    def open(cls, folder: str | os.PathLike[str], *, verify: bool = False) -> VectorStore:
        """Opens a store that is complete.

        Args:
            folder: what `embed` wrote.
            verify: whether to compare all checksums now, which reads all of every file. Sizes always are.

        Raises:
            OSError: if there is no complete store, or a file of it is missing.
            ValueError: if a file is damaged, or from a later version of dpr_tf.
        """
        manifest = read_manifest(Path(folder))
        if manifest is None or not manifest["complete"]:
            found = "no vectors" if manifest is None else "vectors, but not of all passages yet"
            raise FileNotFoundError(f"{folder}: there are {found} here; run embed, with all its workers")
        store = cls(Path(folder), manifest)
        for entry in store._entries:
            store._check(entry, verify)
        return store

    def __len__(self) -> int:
        """Number of vectors."""
        return sum(entry["rows"] for entry in self._entries)

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.settings["dim"])

    @property
    def dtype(self) -> str:
        """ "float32" or "float16"."""
        return str(self.settings["dtype"])

    @property
    def origin(self) -> Origin | None:
        """The model and the convention of the vectors; None if they were imported."""
        model = self.settings["model"]
        return None if model is None else Origin(model, self.settings["token_types"])

    def shards(self, *, verify: bool = False) -> Iterator[Shard]:
        """The vectors in the order of the collection; a shard takes memory while it is used.

        Args:
            verify: whether to compare each shard's checksums before it is given out.

        Raises:
            OSError, ValueError: as `open`.
        """
        for entry in self._entries:
            ids = self._check(entry, verify)
            vectors = np.load(self.folder / f"{entry['name']}.npy", mmap_mode="r", allow_pickle=False)
            if vectors.shape != (entry["rows"], self.dim) or vectors.dtype != self.dtype:
                raise _damaged(
                    self.folder / f"{entry['name']}.npy",
                    f"expected {self.dtype} [{entry['rows']}, {self.dim}], "
                    f"found {vectors.dtype} {list(vectors.shape)}",
                )
            yield Shard(entry["name"], ids, vectors)

    def _check(self, entry: Mapping[str, Any], verify: bool) -> list[str]:
        """Checks a shard; its ids."""
        path = self.folder / f"{entry['name']}.json"
        text = path.read_bytes()
        if hashlib.sha256(text).hexdigest() != entry["sha256"]:
            raise _damaged(path, "its SHA-256 differs from the manifest's")
        record = json.loads(text)
        vectors = path.with_suffix(".npy")
        if vectors.stat().st_size != record["bytes"]:
            raise _damaged(vectors, f"expected {record['bytes']} bytes, found {vectors.stat().st_size}")
        if verify and sha256_of(vectors) != record["sha256"]:
            raise _damaged(vectors, f"its SHA-256 differs from the one in {path.name}")
        return list(record["ids"])


def begin(folder: Path, settings: Mapping[str, Any]) -> None:
    """Makes a store without shards, or finds that the one there is made with the same settings.

    Raises:
        ValueError: if there are other settings, or other files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        manifest = read_manifest(folder)
        if manifest is not None:
            _compare(folder, manifest["settings"], settings)
            return
        strangers = sorted(path.name for path in folder.iterdir() if not _OURS.fullmatch(path.name))
        if strangers:
            raise ValueError(
                f"{folder} holds {strangers[0]!r}, which is no file of vectors; embed into a new folder"
            )
        _write_manifest(folder, settings, [], complete=False)


def is_there(folder: Path, shard: Planned) -> bool:
    """Whether a shard was written, to its end."""
    try:
        record = json.loads((folder / f"{shard.name}.json").read_bytes())
        return bool((folder / f"{shard.name}.npy").stat().st_size == record["bytes"])
    except (OSError, ValueError, KeyError):
        return False


def write_shard(folder: Path, name: str, ids: Sequence[str], vectors: np.ndarray, dtype: str) -> None:
    """Writes a shard.

    Args:
        folder: of the store.
        name: fingerprint of what was embedded.
        ids: of the passages.
        vectors: float32 [passages, dim].
        dtype: to write them in.

    Raises:
        ValueError: for numbers that are not finite, or too large for the dtype.
    """
    with np.errstate(over="ignore"):
        array = vectors.astype(dtype, copy=False)
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        beyond = np.isfinite(vectors).all()
        raise ValueError(
            f"the vector of passage {ids[int(np.argmax(bad))]!r} holds numbers "
            + ("beyond the range of float16; use dtype='float32'" if beyond else "that are not finite")
        )
    path = folder / f"{name}.npy"
    with written(path) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)
    record = {"bytes": path.stat().st_size, "sha256": sha256_of(path), "ids": list(ids)}
    with written(path.with_suffix(".json")) as file:
        file.write(json.dumps(record).encode("ascii"))


def finish(folder: Path, settings: Mapping[str, Any], shards: Sequence[Planned]) -> None:
    """Writes the manifest of a store whose shards are all there, and removes what it does not name."""
    entries = [{**shard._asdict(), "sha256": sha256_of(folder / f"{shard.name}.json")} for shard in shards]
    named = {shard.name for shard in shards}
    with _locked(folder):
        _write_manifest(folder, settings, entries, complete=True)
        for path in folder.iterdir():
            match = _SHARD.fullmatch(path.name)
            if path.name.endswith(".partial") or (match and match[1] not in named):
                path.unlink(missing_ok=True)


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What manifest.json says; None if there is none.

    Raises:
        ValueError: if it is damaged, or from a later version of dpr_tf.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path} is not the manifest of a folder of vectors, as `dpr-tf embed` writes them")
    if manifest.get("version") != VERSION:
        raise ValueError(
            f"{path}: this is version {manifest.get('version')!r} of the format, dpr_tf here reads "
            f"{VERSION}; upgrade dpr_tf, or embed again"
        )
    settings, shards = manifest.get("settings"), manifest.get("shards")
    whole = isinstance(settings, dict) and {"model", "token_types", "dtype", "dim"} <= set(settings)
    if not whole or not isinstance(shards, list) or not all(map(_is_entry, shards)):
        raise _damaged(path, "settings or shards are missing in it")
    return manifest


def _is_entry(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and re.fullmatch(r"[0-9a-f]{32}", str(entry.get("name"))) is not None
        and isinstance(entry.get("rows"), int)
    )


def _write_manifest(
    folder: Path, settings: Mapping[str, Any], shards: Sequence[Mapping[str, Any]], *, complete: bool
) -> None:
    content = {
        "format": FORMAT,
        "version": VERSION,
        "complete": complete,
        "settings": settings,
        "passages": sum(shard["rows"] for shard in shards),
        "shards": shards,
    }
    with written(folder / MANIFEST) as file:
        file.write((json.dumps(content, indent=1) + "\n").encode("ascii"))


def _compare(folder: Path, there: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    other = [
        f"{name}={there.get(name)!r} there, {value!r} now"
        for name, value in settings.items()
        if there.get(name) != value
    ]
    if other:
        raise ValueError(
            f"{folder} holds vectors made otherwise ({'; '.join(other)}); embed into a new folder, or remove "
            "this one"
        )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Of several workers, one at a time; the lock ends with its process."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _damaged(path: Path, what: str) -> ValueError:
    return ValueError(f"{path} is damaged: {what}; remove it, and run embed again: what is whole is kept")
