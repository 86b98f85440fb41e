"""From passages to vectors, from vectors to an index, from a question to passages; by words alone too.

Names are imported when first used: what is sparse needs no Keras.
"""

from __future__ import annotations

import importlib
from typing import Any

_EXPORTS = {
    "building": ("build_index",),
    "bm25": ("BM25Index", "BM25Retriever"),
    "embed": ("embed_passages",),
    "files": ("RetrievedCounts", "retrieve"),
    "hybrid": ("HybridRetriever", "TunedWeight", "fuse_by_rank", "fuse_by_weight", "tune_weight"),
    "indexes": ("ExactIndex", "Index", "Origin", "load_index"),
    "mining": ("MinedPassages", "MiningCounts", "mine_examples", "mine_passages"),
    "retriever": ("Retriever",),
    "pickled": ("export_vectors", "import_vectors"),
    "scored": ("RetrievesPassages", "ScoredPassage"),
    "shards": ("VectorStore",),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value
