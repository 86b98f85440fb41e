"""Indexes: which vectors have the largest inner products with a question's."""

from __future__ import annotations

import os
from typing import Any

from dpr_tf.retrieval.indexes.contract import Index, Origin
from dpr_tf.retrieval.indexes.exact import ExactIndex
from dpr_tf.retrieval.indexes.files import read_manifest

__all__ = ["ExactIndex", "Index", "Origin", "load_index"]  # FaissIndex, MilvusIndex too, where installed


def __getattr__(name: str) -> Any:
    if name == "FaissIndex":  # only who asks for it needs FAISS
        from dpr_tf.retrieval.indexes.faiss import FaissIndex

        return FaissIndex
    if name == "MilvusIndex":
        from dpr_tf.retrieval.indexes.milvus import MilvusIndex

        return MilvusIndex
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_index(
    folder: str | os.PathLike[str], *, memory_map: bool = False, verify: bool | None = None
) -> Index:
    """Reads an index of any kind; see `Index.load`.

    Raises:
        OSError: if there is no complete index in the folder.
        ValueError: if it is damaged, or of a kind that is not known here.
        ImportError: if its library is not installed.
    """
    kind = read_manifest(folder)["kind"]
    if kind == ExactIndex.kind:
        return ExactIndex.load(folder, memory_map=memory_map, verify=verify)
    if kind == "faiss":
        from dpr_tf.retrieval.indexes.faiss import FaissIndex

        return FaissIndex.load(folder, memory_map=memory_map, verify=verify)
    if kind == "milvus":
        from dpr_tf.retrieval.indexes.milvus import MilvusIndex

        return MilvusIndex.load(folder, memory_map=memory_map, verify=verify)
    raise ValueError(
        f"{folder} holds an index of kind {kind!r}, dpr_tf here knows 'exact', 'faiss' and 'milvus'"
    )
