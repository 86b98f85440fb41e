"""The exact index: every vector is compared with every question. Knows rows and vectors, no text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.retrieval.indexes.contract import Index, Origin
from dpr_tf.retrieval.indexes.files import Part, Saved, write_array, write_rows
from dpr_tf.retrieval.indexes.int8 import GROUP, Codes, Group, Int8Block
from dpr_tf.retrieval.indexes.topk import Best, pairs_above
from dpr_tf.retrieval.indexes.vectors import BLOCK, Vectors, product_error, to_float32

FIRST_PASSES = (None, "int8")
_QUESTIONS = 512  # that share a pass over the vectors
_PAIRS = _QUESTIONS * (BLOCK + 4096)  # of question and row, in memory at a time: 25 MB of estimates
_SAMPLE = 2048


class ExactIndex(Index):
    """Finds the largest inner products by computing all of them, block by block.

    Blocks are multiplied fast; what may be among the best is then computed again in float64. So a score
    depends on its question and its vector alone, the same vector twice gives the same score, and results are
    those of a brute-force search in float64, rounded to float32. This holds for the int8 first pass too: it
    leaves out only what its error bound excludes.

    Args:
        dim: width of the vectors.
        origin: where the vectors come from; see `Index`.
        dtype: "float32"; or "float16", half the memory: vectors are rounded to it when added.
        first_pass: None; or "int8": a quarter of the float32 memory on top, and on processors with 8-bit
            products (AVX-512 VNNI) several times as fast when many questions come at once.
    """

    kind = "exact"

    def __init__(
        self, dim: int, origin: Origin | None = None, *, dtype: str = "float32", first_pass: str | None = None
    ) -> None:
        super().__init__(dim, origin)
        if first_pass not in FIRST_PASSES:
            raise ValueError(
                f"first_pass={first_pass!r}: expected one of {', '.join(map(repr, FIRST_PASSES))}"
            )
        self._vectors = Vectors(dim, dtype)
        self._codes = Codes(dim) if first_pass else None

    @property
    def is_exact(self) -> bool:
        """True."""
        return True

    @property
    def options(self) -> dict[str, Any]:
        """`dtype` and `first_pass`."""
        return {"dtype": self._vectors.dtype.name, "first_pass": "int8" if self._codes else None}

    def _append(self, vectors: np.ndarray) -> None:
        self._vectors.append(vectors)

    def _search(
        self, questions: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._codes is not None:
            self._codes.catch_up(self._vectors)
        scores = np.empty((len(questions), k), np.float32)
        rows = np.empty((len(questions), k), np.int64)
        most = min(_QUESTIONS, max(1, _PAIRS // (k + BLOCK)))
        step = -(-len(questions) // -(-len(questions) // most))  # as few passes, of equal size
        for start in range(0, len(questions), step):
            part = slice(start, start + step)
            scores[part], rows[part] = self._search_together(questions[part], k, allowed)
        return scores, rows

    def _search_together(
        self, questions: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        best = Best(len(questions), k, lambda one, rows: self._vectors.inner_products(questions[one], rows))
        error = product_error(questions, self._largest_norm)
        sample = self._sample(max(_SAMPLE, 4 * k), allowed)
        if len(sample) < len(self._vectors) // 2:  # or it costs more than it saves
            best.raise_threshold(questions @ to_float32(self._vectors.take(sample)).T, error)
        for block in self._blocks(questions):
            here = (
                None if allowed is None else np.flatnonzero(allowed[block.first : block.first + block.size])
            )
            if here is not None and len(here) == block.size:
                here = None
            if here is None or len(here):
                found, rows, estimates, off = block.above(best.threshold, error, here)
                best.offer(found, rows + block.first, estimates, off)
        return best.result()

    def _sample(self, size: int, allowed: np.ndarray | None) -> np.ndarray:
        """Rows from all over the index."""
        rows = np.arange(len(self._vectors)) if allowed is None else np.flatnonzero(allowed)
        return rows[np.linspace(0, len(rows) - 1, min(size, len(rows))).astype(np.int64)]

    def _blocks(self, questions: np.ndarray) -> Iterator[Int8Block | _FloatBlock]:
        if self._codes is not None:
            yield from self._codes.blocks(questions)
        else:
            columns = np.ascontiguousarray(questions.T)  # a tenth faster than the other way round
            for first, block in self._vectors.blocks():
                yield _FloatBlock(first, block, columns)

    def _parts(self) -> dict[str, Part]:
        shape = (len(self._vectors), self.dim)
        parts: dict[str, Part] = {
            "vectors": lambda path: write_rows(
                path, shape, self._vectors.dtype, (block for _, block in self._vectors.blocks())
            )
        }
        if self._codes is not None:
            self._codes.catch_up(self._vectors)
            groups = self._codes.groups
            ranges = np.array([[group.offset, group.scale] for group in groups], np.float32)
            bounds = np.array([[group.rest, group.norm] for group in groups], np.float64)
            codes = (group.codes for group in groups)
            parts["codes"] = lambda path: write_rows(path, shape, np.dtype(np.uint8), codes)
            parts["ranges"] = lambda path: write_array(path, ranges.reshape(-1, 2, self.dim))
            parts["bounds"] = lambda path: write_array(path, bounds.reshape(-1, 2))
        return parts

    def _restore(self, saved: Saved) -> None:
        shape = (saved.rows, self.dim)
        self._vectors.append(saved.array("vectors", shape, self._vectors.dtype))
        if self._codes is not None:
            count = -(-saved.rows // GROUP)
            codes = saved.array("codes", shape, np.dtype(np.uint8))
            ranges = saved.array("ranges", (count, 2, self.dim), np.dtype(np.float32))
            bounds = saved.array("bounds", (count, 2), np.dtype(np.float64))
            self._codes.groups = [
                Group(codes[number * GROUP : (number + 1) * GROUP], offset, scale, float(rest), float(norm))
                for number, ((offset, scale), (rest, norm)) in enumerate(zip(ranges, bounds, strict=True))
            ]


class _FloatBlock(NamedTuple):
    """A block of vectors and the questions that it is searched for.

    Attributes:
        first: number of its first row.
        vectors: float32 or float16 [rows, dim].
        questions: float32 [dim, questions].
    """

    first: int
    vectors: np.ndarray
    questions: np.ndarray

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.vectors)

    def above(
        self, threshold: np.ndarray, error: np.ndarray, rows: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The pairs whose score may reach the threshold; as `Int8Block.above`."""
        vectors = self.vectors if rows is None else self.vectors[rows]
        estimates = to_float32(vectors) @ self.questions  # [rows, questions]
        questions, found = pairs_above(estimates, threshold - error)
        return questions, found if rows is None else rows[found], estimates[found, questions], error
