"""Vectors on disk to an index on disk. Knows files of vectors and indexes, neither text nor models."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from dpr_tf.retrieval.indexes import ExactIndex, Index
from dpr_tf.retrieval.indexes.files import MANIFEST, read_manifest
from dpr_tf.retrieval.pickled import import_vectors
from dpr_tf.retrieval.progress import progress_bar
from dpr_tf.retrieval.shards import VectorStore

KINDS = ("exact", "faiss", "milvus")


class Built(NamedTuple):
    """An index that was built.

    Attributes:
        kind: "exact", "faiss" or "milvus".
        passages: number of vectors.
        dim: width of the vectors.
        is_exact: whether it finds the true best, always.
        model: fingerprint of the context encoder; None if it is not known.
        token_types: that the encoder was given; None if it is not known.
    """

    kind: str
    passages: int
    dim: int
    is_exact: bool
    model: str | None
    token_types: str | None

    def __str__(self) -> str:
        exactness = "exact" if self.is_exact else "approximate"
        return f"{self.passages:,} vectors of {self.dim} numbers, kind {self.kind}, {exactness} search"


def build_index(
    vectors: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    kind: Literal["exact", "faiss", "milvus"] = "exact",
    *,
    index_type: str | None = None,
    dtype: str | None = None,
    first_pass: str | None = None,
    rescore: int | None = None,
    neighbors: int | None = None,
    ef_search: int | None = None,
    lists: int | None = None,
    probes: int | None = None,
    uri: str | None = None,
    collection: str | None = None,
    progress: bool = True,
) -> Built:
    """Builds an index of the vectors that `embed` wrote, and saves it.

    Vectors are taken a shard at a time. An exact index needs no memory for them (but with
    `first_pass="int8"` a byte a number); a FAISS index is built in memory, which has to hold it; the vectors
    of a Milvus index go to Milvus. If the process is killed, `output` holds the index of before, or none.

    Args:
        vectors: folder that `embed` wrote, or DPR's own pickled shards in the order of the collection.
        output: folder for the index; an index in it is replaced.
        kind: "exact", every vector is compared; "faiss", which trades exactness for speed or memory and needs
            the extra `faiss`; or "milvus", a file, server or cluster of Milvus, with the extra `milvus`.
        index_type: of "faiss": "flat", "fp16", "sq8", "ivf", "hnsw" or "rabitq"; of "milvus": "flat", the
            default, or "hnsw".
        dtype: of the vectors in an exact index, or kept for rescoring: "float32" or "float16". Default: the
            vectors' own.
        first_pass: of "exact": "int8", for faster search of many questions on processors with AVX-512 VNNI.
        rescore: of "faiss": candidates per passage wanted whose scores are computed exactly.
        neighbors: of "hnsw": links per vector.
        ef_search: of "hnsw": candidates that a search keeps.
        lists: of "ivf": number of clusters.
        probes: of "ivf": clusters that are searched.
        uri: of "milvus": a file, such as "./passages.db", or the address of a server.
        collection: of "milvus": what the collection's name begins with; each build makes a new one, and then
            drops that of the index it replaces. A build that is killed leaves its collection behind. Default:
            "passages".
        progress: whether to show a progress bar on stderr.

    Returns:
        What was built; `load_index` reads it.

    Raises:
        OSError: if the vectors are missing or incomplete, or the index cannot be written.
        ValueError: if vectors are damaged, the folder holds other files, or an option does not belong to the
            kind.
        ImportError: if the index's library is not installed.
    """
    options = {
        "index_type": index_type,
        "dtype": dtype,
        "first_pass": first_pass,
        "rescore": rescore,
        "neighbors": neighbors,
        "ef_search": ef_search,
        "lists": lists,
        "probes": probes,
        "uri": uri,
        "collection": collection,
    }
    given = {name: value for name, value in options.items() if value is not None}
    with contextlib.ExitStack() as stack:
        store = _opened(vectors, stack)
        earlier = _milvus_index_in(Path(output))
        index = _empty_index(kind, store, given)
        try:
            _fill(index, store, progress)
            index.save(output)
        except BaseException:
            _drop(index)
            raise
        _drop(earlier)
    model, token_types = index.origin or (None, None)
    return Built(kind, len(index), index.dim, index.is_exact, model, token_types)


def _opened(
    vectors: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], stack: contextlib.ExitStack
) -> VectorStore:
    """The store; one of DPR's shards lies in a temporary folder until the stack is closed."""
    if isinstance(vectors, (str, os.PathLike)):
        if Path(vectors).is_dir():
            return VectorStore.open(vectors)
        vectors = [vectors]
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="dpr-tf-vectors-"))
    return import_vectors(vectors, folder)


def _empty_index(kind: str, store: VectorStore, options: dict[str, Any]) -> Index:
    index_class: Any = ExactIndex
    if kind == "faiss":
        from dpr_tf.retrieval.indexes.faiss import FaissIndex as index_class
    elif kind == "milvus":
        from dpr_tf.retrieval.indexes.milvus import MilvusIndex as index_class

        options["collection"] = f"{options.get('collection', 'passages')}_{secrets.token_hex(4)}"
    elif kind != "exact":
        raise ValueError(f"kind={kind!r}: expected one of {', '.join(map(repr, KINDS))}")
    if kind != "milvus":
        options = {"dtype": store.dtype, **options}
    try:
        return index_class(store.dim, store.origin, **options)
    except TypeError as error:
        raise ValueError(f"an index of kind {kind!r} does not fit its options: {error}") from None


def _milvus_index_in(folder: Path) -> Index | None:
    """The index in a folder, if its vectors are in Milvus: they go when it is replaced."""
    if not (folder / MANIFEST).is_file():
        return None
    manifest = read_manifest(folder)
    if manifest["kind"] != "milvus":
        return None
    from dpr_tf.retrieval.indexes.milvus import MilvusIndex

    return MilvusIndex(manifest["dim"], **manifest["options"])


def _drop(index: Index | None) -> None:
    """Takes an index that is of no use any more out of Milvus, if it is there."""
    if index is not None and index.kind == "milvus":
        index.drop()  # type: ignore[attr-defined]


def _fill(index: Index, store: VectorStore, progress: bool) -> None:
    if hasattr(index, "train"):
        index.train(_sample(store), len(store))
    with progress_bar("Indexing vectors", len(store), progress) as bar:
        for shard in store.shards(verify=True):
            index.add(shard.vectors, shard.ids, origin=store.origin, data=store.fingerprint)
            bar.update(len(shard.ids))


def _sample(store: VectorStore, size: int = 1 << 17) -> np.ndarray:
    """Rows from all over a store, at most `size`."""
    wanted = np.linspace(0, len(store) - 1, min(size, len(store))).astype(np.int64)
    parts, first = [], 0
    for shard in store.shards():
        here = wanted[(wanted >= first) & (wanted < first + len(shard.ids))]
        parts.append(shard.vectors[here - first])
        first += len(shard.ids)
    return np.concatenate(parts)
