"""An index whose vectors lie in Milvus: in a file or on a cluster. The only module that imports it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tf.retrieval.indexes.contract import Index, Origin
from dpr_tf.retrieval.indexes.files import Part, Saved
from dpr_tf.retrieval.indexes.vectors import to_float32

try:
    import pymilvus
except ModuleNotFoundError as error:
    raise ImportError('MilvusIndex needs Milvus: pip install "dpr_tf[milvus]"') from error

INDEX_TYPES = ("flat", "hnsw")
TOKEN = "MILVUS_TOKEN"
_ROWS = 1024  # per message; of width 768, 3 MB of 64 that a server takes
_QUESTIONS = 256  # per message
_MOST = 16_384  # rows per question that a server gives


class MilvusIndex(Index):
    """Vectors in a collection of Milvus, with ids, origin, filters and files like every other index here.

    The same code works on a file, for which nothing else has to run, and on a server or cluster, where the
    vectors may exceed any one machine. Milvus holds the vectors under their rows; `save` writes the rest, ids
    and which rows are there, and only then becomes visible what was added or removed. One process at a time
    may add to a collection, and use a file.

    Scores are inner products as Milvus computes them. `only` and vectors removed since the last `save` are
    sent with every search, so keep them few or nearly all.

    Args:
        dim: width of the vectors.
        origin: where the vectors come from; see `Index`.
        uri: a file, such as "./passages.db", or the address of a server, such as "http://127.0.0.1:19530".
            What the server wants to see, a token or "user:password", is taken from the environment variable
            MILVUS_TOKEN and not saved.
        collection: name of the collection; made by the first addition.
        index_type: "flat", every vector is compared; or "hnsw", a graph.
        neighbors: of "hnsw", links per vector.
        ef_search: of "hnsw", candidates that a search keeps, at least k.
    """

    kind = "milvus"

    def __init__(
        self,
        dim: int,
        origin: Origin | None = None,
        *,
        uri: str,
        collection: str = "passages",
        index_type: str = "flat",
        neighbors: int = 32,
        ef_search: int = 128,
    ) -> None:
        super().__init__(dim, origin)
        if index_type not in INDEX_TYPES:
            raise ValueError(
                f"index_type={index_type!r}: expected one of {', '.join(map(repr, INDEX_TYPES))}"
            )
        for name, number in {"neighbors": neighbors, "ef_search": ef_search}.items():
            if number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self._options: dict[str, Any] = {
            "uri": uri if "://" in uri else str(Path(uri).resolve()),
            "collection": collection,
            "index_type": index_type,
            "neighbors": neighbors,
            "ef_search": ef_search,
        }
        self._client: Any = None
        self._deleted = np.empty(0, np.int64)  # rows that Milvus does not have any more
        self._leftovers = False  # whether Milvus may have rows of a process that died before it saved

    @property
    def is_exact(self) -> bool:
        """True for "flat", up to the rounding of float32 sums."""
        return bool(self._options["index_type"] == "flat")

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return dict(self._options)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """As `Index.save`, ids and which rows are there; then Milvus forgets the rows that were removed."""
        super().save(folder)
        gone = np.setdiff1d(np.flatnonzero(~self._live), self._deleted)
        with self._told():
            for start in range(0, len(gone), _ROWS):
                rows = gone[start : start + _ROWS].tolist()
                self._client.delete(self._options["collection"], filter=f"row in {rows}")
        self._deleted = np.flatnonzero(~self._live)

    def drop(self) -> None:
        """Deletes the collection in Milvus, with all its vectors; the index is then of no use."""
        with self._told():
            self._connected().drop_collection(self._options["collection"])

    def close(self) -> None:
        """Ends the connection; on a file, another process may then open it."""
        if self._client is not None:
            self._client.close()
        self._client = None

    def _append(self, vectors: np.ndarray) -> None:
        if not len(vectors):
            return
        first, name = len(self.ids), self._options["collection"]
        with self._told():
            if first == 0 and self._client is None:
                self._create()
            if self._leftovers:
                self._client.delete(name, filter=f"row >= {first}")
                self._leftovers = False
            for start in range(0, len(vectors), _ROWS):
                block = to_float32(np.asarray(vectors[start : start + _ROWS]))
                self._client.insert(
                    name,
                    [{"row": row, "vector": one} for row, one in enumerate(block, start=first + start)],
                )

    def _create(self) -> None:
        client, name = self._connected(), self._options["collection"]
        if client.has_collection(name):
            raise ValueError(
                f"{self._options['uri']} has a collection {name!r} already; load the index that was saved "
                "for it, or choose another name"
            )
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", pymilvus.DataType.INT64, is_primary=True)
        schema.add_field("vector", pymilvus.DataType.FLOAT_VECTOR, dim=self.dim)
        how: dict[str, Any] = {"index_type": self._options["index_type"].upper(), "metric_type": "IP"}
        if self._options["index_type"] == "hnsw":
            how["params"] = {"M": self._options["neighbors"], "efConstruction": 200}
        indexes = client.prepare_index_params()
        indexes.add_index("vector", **how)
        client.create_collection(name, schema=schema, index_params=indexes, consistency_level="Strong")

    def _search(
        self, questions: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        there = len(self.ids) if allowed is None else int(allowed.sum())
        chosen = self._filter(allowed)
        scores = np.full((len(questions), k), -np.inf, np.float32)
        rows = np.full((len(questions), k), -1, np.int64)
        open_, limit = np.arange(len(questions)), k + 1
        while len(open_):
            limit = min(limit, _MOST)
            unsettled = []
            for question, hits in zip(open_, self._found(questions[open_], limit, chosen), strict=True):
                # What another process has added meanwhile is not ours.
                found = sorted((-score, row) for row, score in hits if row < len(self.ids))
                best = found[:k]
                scores[question, : len(best)] = [-score for score, _ in best]
                rows[question, : len(best)] = [row for _, row in best]
                # Rows that score like the last one may have been left out, and may come before it.
                tied = len(found) >= k and found[-1][0] == found[k - 1][0]
                if len(found) < there and (tied or len(found) < k):
                    unsettled.append(question)
            if limit >= min(_MOST, there) or self._options["index_type"] == "hnsw":
                break
            open_, limit = np.array(unsettled, np.int64), 4 * limit
        return scores, rows

    def _found(self, questions: np.ndarray, limit: int, chosen: str) -> Iterator[list[tuple[int, float]]]:
        """Rows and scores of each question."""
        parameters: dict[str, Any] = {"metric_type": "IP"}
        if self._options["index_type"] == "hnsw":
            parameters["params"] = {"ef": max(self._options["ef_search"], limit)}
        for start in range(0, len(questions), _QUESTIONS):
            with self._told():
                answer = self._client.search(
                    self._options["collection"],
                    data=list(questions[start : start + _QUESTIONS]),
                    filter=chosen,
                    limit=limit,
                    output_fields=["row"],
                    search_params=parameters,
                )
            for hits in answer:
                yield [(hit["row"], hit["distance"] + 0.0) for hit in hits]  # no -0.0

    def _filter(self, allowed: np.ndarray | None) -> str:
        """Milvus's expression for the rows that may be found; "" for all that it has."""
        if allowed is None:
            return ""
        hidden = np.setdiff1d(np.flatnonzero(~allowed), self._deleted)
        if not len(hidden):
            return ""
        shown = np.flatnonzero(allowed)
        return f"row not in {hidden.tolist()}" if len(hidden) <= len(shown) else f"row in {shown.tolist()}"

    def _parts(self) -> dict[str, Part]:
        return {}

    def _restore(self, saved: Saved) -> None:
        if not saved.rows:
            return
        uri, name = self._options["uri"], self._options["collection"]
        if "://" not in uri and not Path(uri).exists():
            raise FileNotFoundError(f"{uri}, the file with the vectors of {saved.folder}, is not there")
        with self._told():
            client = self._connected()
            if not client.has_collection(name):
                raise FileNotFoundError(
                    f"{uri} has no collection {name!r}, with the vectors of {saved.folder}"
                )
            fields = {field["name"]: field for field in client.describe_collection(name)["fields"]}
            dim = fields.get("vector", {}).get("params", {}).get("dim")
            if dim is None or int(dim) != self.dim:
                raise ValueError(
                    f"collection {name!r} at {uri}: expected vectors of {self.dim} numbers, found {dim}"
                )
            client.load_collection(name)
        self._leftovers = True

    def _connected(self) -> Any:
        if self._client is None:
            self._client = pymilvus.MilvusClient(self._options["uri"], token=os.environ.get(TOKEN, ""))
        return self._client

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Says which Milvus failed."""
        try:
            yield
        except pymilvus.MilvusException as error:
            raise OSError(f"Milvus at {self._options['uri']}: {error.message}") from error
