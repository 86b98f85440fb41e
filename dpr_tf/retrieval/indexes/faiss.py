"""Indexes of the FAISS library: exactness traded for speed or memory. The only module that imports it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpr_tf.retrieval.indexes.contract import Index, Origin
from dpr_tf.retrieval.indexes.files import Part, Saved, write_rows
from dpr_tf.retrieval.indexes.vectors import BLOCK, Vectors, to_float32

try:
    import faiss
except ModuleNotFoundError as error:
    raise ImportError('FaissIndex needs FAISS: pip install "dpr_tf[faiss]"') from error

# What FAISS calls each; {lists} and {neighbors} are filled in.
_FACTORY = {
    "flat": "Flat",
    "hnsw": "HNSW{neighbors}",
    "sq8": "SQ8",
    "fp16": "SQfp16",
    "ivf": "IVF{lists},Flat",
    "rabitq": "RaBitQ",
}
INDEX_TYPES = tuple(_FACTORY)
TRAINING = 1 << 17  # rows that are enough to learn ranges and clusters from
_POINTS_PER_LIST = 39  # fewer make poor clusters, FAISS warns


class FaissIndex(Index):
    """A FAISS index with ids, origin, filters and files like every other index here.

    Scores are inner products as FAISS computes them, of the vectors as it keeps them. With `rescore` the
    vectors are kept beside it, and the best candidates are ordered by their exact inner products.

    recall@100 of 1,000 questions, with the defaults, over the first 64 tokens of 22,169 Wikipedia passages,
    and over 123,682 sentences and passages, vectors of 384 numbers (tools/measure_index_recall.py measures
    your own):

        flat     1.000  1.000
        fp16     0.997  1.000
        sq8      0.994  0.995, with rescore=2 1.000  1.000
        hnsw     0.928  0.969, with ef_search=400 0.990  0.994
        ivf      0.834  0.961
        rabitq   0.737  0.708, with rescore=10 0.998  0.998

    "sq8", "ivf" and "rabitq" learn from what `train` is given, or else from the first vectors that are added.

    Args:
        dim: width of the vectors.
        origin: where the vectors come from; see `Index`.
        index_type: "flat", all vectors in float32; "fp16" and "sq8", all in two bytes or one a number; "ivf",
            clusters of which the nearest are searched; "hnsw", a graph; "rabitq", one bit a number.
        rescore: candidates per passage wanted that are rescored; 0 for none.
        dtype: of the vectors kept for rescoring, "float32" or "float16".
        neighbors: of "hnsw", links per vector.
        ef_search: of "hnsw", candidates that a search keeps, at least k.
        lists: of "ivf", number of clusters. Default: four times the square root of the number of vectors, as
            `train` is told it or the first addition has them.
        probes: of "ivf", clusters searched. Default: an eighth of them.
    """

    kind = "faiss"

    def __init__(
        self,
        dim: int,
        origin: Origin | None = None,
        *,
        index_type: str,
        rescore: int = 0,
        dtype: str = "float32",
        neighbors: int = 32,
        ef_search: int = 128,
        lists: int | None = None,
        probes: int | None = None,
    ) -> None:
        super().__init__(dim, origin)
        if index_type not in INDEX_TYPES:
            raise ValueError(
                f"index_type={index_type!r}: expected one of {', '.join(map(repr, INDEX_TYPES))}"
            )
        if rescore < 0:
            raise ValueError(f"rescore must be at least 0, got {rescore}")
        for name, number in {
            "neighbors": neighbors,
            "ef_search": ef_search,
            "lists": lists,
            "probes": probes,
        }.items():
            if number is not None and number < 1:
                raise ValueError(f"{name} must be at least 1, got {number}")
        self._options: dict[str, Any] = {
            "index_type": index_type,
            "rescore": rescore,
            "dtype": dtype,
            "neighbors": neighbors,
            "ef_search": ef_search,
            "lists": lists,
            "probes": probes,
        }
        self._faiss: Any = None
        self._mapped = False
        self._vectors = Vectors(dim, dtype)

    @property
    def is_exact(self) -> bool:
        """True for "flat", up to the rounding of float32 sums."""
        return bool(self._options["index_type"] == "flat")

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of the constructor."""
        return dict(self._options)

    def train(self, sample: np.ndarray, count: int) -> None:
        """Learns ranges and clusters, before the first addition.

        Args:
            sample: float32 or float16 [vectors, dim], from all over what will be added; 131,072 are enough.
            count: of all vectors that will be added.

        Raises:
            ValueError: if there are vectors in the index, or the sample does not fit it.
        """
        self._check(sample, "sample", (np.float32, np.float16))
        if self._faiss is not None:
            raise ValueError("an index is trained before its first vectors are added; make a new one")
        self._faiss = self._trained_on(sample, count)

    def _append(self, vectors: np.ndarray) -> None:
        if not len(vectors):
            return
        if self._mapped:
            raise ValueError(
                "a memory-mapped FAISS index cannot grow; load it with memory_map=False to add to it"
            )
        if self._options["rescore"]:
            self._vectors.append(vectors)
        if self._faiss is None:
            self._faiss = self._trained_on(vectors, len(vectors))
        for start in range(0, len(vectors), BLOCK):
            self._faiss.add(np.ascontiguousarray(to_float32(vectors[start : start + BLOCK])))

    def _trained_on(self, vectors: np.ndarray, count: int) -> Any:
        most = min(count, len(vectors)) // _POINTS_PER_LIST
        lists = self._options["lists"] or max(1, min(int(4 * count**0.5), most))
        if lists > len(vectors):
            raise ValueError(f"{lists} lists need as many vectors to learn from, got {len(vectors)}")
        name = _FACTORY[self._options["index_type"]].format(lists=lists, neighbors=self._options["neighbors"])
        made = faiss.index_factory(self.dim, name, faiss.METRIC_INNER_PRODUCT)
        rows = np.linspace(0, len(vectors) - 1, min(len(vectors), TRAINING)).astype(np.int64)
        if not made.is_trained:
            made.train(np.ascontiguousarray(to_float32(vectors[rows])))
        return made

    def _search(
        self, questions: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        candidates = min(k * max(self._options["rescore"], 1), len(self.ids))
        parameters = self._parameters(candidates)
        if allowed is not None:
            bits = np.packbits(allowed, bitorder="little")  # FAISS reads it while it searches
            parameters.sel = faiss.IDSelectorBitmap(bits)
        scores, rows = self._faiss.search(np.ascontiguousarray(questions), candidates, params=parameters)
        if self._options["rescore"]:
            for question, found in enumerate(rows):
                there = found >= 0
                scores[question, there] = self._vectors.inner_products(questions[question], found[there])
        scores[rows < 0] = -np.inf  # FAISS fills up with row -1 and the lowest number
        order = np.lexsort((np.where(rows < 0, len(self.ids), rows), -scores))[:, :k]
        return np.take_along_axis(scores, order, axis=1), np.take_along_axis(rows, order, axis=1)

    def _parameters(self, candidates: int) -> Any:
        """FAISS's own record of how to search."""
        index_type = self._options["index_type"]
        if index_type == "hnsw":
            return faiss.SearchParametersHNSW(efSearch=max(self._options["ef_search"], candidates))
        if index_type == "ivf":
            return faiss.SearchParametersIVF(nprobe=self._options["probes"] or -(-self._faiss.nlist // 8))
        if index_type == "rabitq":
            return faiss.RaBitQSearchParameters()
        return faiss.SearchParameters()

    def _parts(self) -> dict[str, Part]:
        parts: dict[str, Part] = {}
        if self._faiss is not None:
            parts["faiss"] = lambda path: faiss.write_index(self._faiss, str(path))
        if self._options["rescore"]:
            shape = (len(self._vectors), self.dim)
            blocks = (block for _, block in self._vectors.blocks())
            parts["vectors"] = lambda path: write_rows(path, shape, self._vectors.dtype, blocks)
        return parts

    def _restore(self, saved: Saved) -> None:
        if self._options["rescore"]:
            self._vectors.append(saved.array("vectors", (saved.rows, self.dim), self._vectors.dtype))
        if not saved.rows:
            return
        path, self._mapped = saved.path("faiss"), saved.memory_map
        try:
            self._faiss = faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC if saved.memory_map else 0)
        except RuntimeError as error:
            raise ValueError(f"{path} is damaged: FAISS cannot read it; build the index again") from error
        found = (self._faiss.d, self._faiss.ntotal, self._faiss.metric_type)
        if found != (self.dim, saved.rows, faiss.METRIC_INNER_PRODUCT):
            raise ValueError(
                f"{path}: expected {saved.rows} vectors of {self.dim} numbers for inner products, found "
                f"{found[1]} of {found[0]}, metric {found[2]}; build the index again"
            )
