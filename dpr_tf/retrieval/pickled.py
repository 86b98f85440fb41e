"""Vectors to and from DPR's own shards: pickles of a list of (id, float32[dim]), read as mere data."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dpr_tf.data.vectors import PassageVector, read_vectors, write_vectors
from dpr_tf.retrieval.cutting import Planned
from dpr_tf.retrieval.shards import VectorStore, begin, finish, is_there, write_shard


def export_vectors(vectors: str | os.PathLike[str], stem: str | os.PathLike[str]) -> list[str]:
    """Writes a store's vectors as DPR's own scripts read them.

    Args:
        vectors: the folder that `embed` wrote.
        stem: the files are named `<stem>_0`, `<stem>_1` and so on; float16 becomes float32.

    Returns:
        The files, each of which appears when it is complete.

    Raises:
        OSError, ValueError: as `VectorStore.open`.
    """
    paths = []
    for number, shard in enumerate(VectorStore.open(vectors).shards(verify=True)):
        paths.append(f"{os.fspath(stem)}_{number}")
        write_vectors(paths[-1], zip(shard.ids, shard.vectors, strict=True))
    return paths


def import_vectors(
    pickles: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    shard_size: int = 16_384,
) -> VectorStore:
    """Makes a store of DPR's own shards; a shard of vectors at a time is in memory.

    Args:
        pickles: the files, in the order of the collection.
        output: folder of the store.
        dtype: of the store, "float32" or "float16".
        shard_size: vectors per file.

    Returns:
        The store; its origin is unknown.

    Raises:
        OSError: if a file cannot be opened.
        ValueError: if there is no vector, one has another width than the first, or the folder holds something
            else.
    """
    items = itertools.chain.from_iterable(map(read_vectors, pickles))
    folder, shards, dim = Path(output), list[Planned](), 0
    settings: dict[str, object] = {}
    for part in _parts(items, shard_size):
        wrong = next((one for one in part if len(one.vector) != (dim or len(part[0].vector))), None)
        if wrong is not None:
            raise ValueError(
                f"the vector of passage {wrong.id!r} has {len(wrong.vector)} numbers, the ones before have "
                f"{dim or len(part[0].vector)}; vectors of one store come from one encoder"
            )
        if not dim:
            dim = len(part[0].vector)
            made = dict.fromkeys(("model", "tokenizer", "token_types", "max_length"))
            settings = {**made, "dtype": dtype, "dim": dim, "shard_size": shard_size}
            begin(folder, settings)
        ids, vectors = [one.id for one in part], np.stack([one.vector for one in part])
        shards.append(Planned(_name(ids, vectors), len(part)))
        if not is_there(folder, shards[-1]):
            write_shard(folder, shards[-1].name, ids, vectors, dtype)
    if not shards:
        raise ValueError(f"there are no vectors in {', '.join(map(str, pickles)) or 'no file'}")
    finish(folder, settings, shards)
    return VectorStore.open(folder)


def _parts(items: Iterator[PassageVector], size: int) -> Iterator[list[PassageVector]]:
    while part := list(itertools.islice(items, size)):
        yield part


def _name(ids: list[str], vectors: np.ndarray) -> str:
    digest = hashlib.blake2b("\0".join(ids).encode(), digest_size=16)
    digest.update(vectors.tobytes())
    return digest.hexdigest()
