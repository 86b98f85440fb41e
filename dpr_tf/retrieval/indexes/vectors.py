"""Vectors in memory or in files, read block by block, and their exact inner products with questions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

DTYPES = ("float32", "float16")
BLOCK = 8192  # rows; of width 768, 25 MB of float32


class Vectors:
    """A growing list of rows in one dtype. What is added is kept without a copy; only runs of small additions
    are joined, so that a block is worth a matrix product. Memory-mapped arrays stay on disk in any case, and
    are converted to the dtype when they are read.

    Args:
        dim: width of the rows.
        dtype: "float32" or "float16".
    """

    def __init__(self, dim: int, dtype: str = "float32") -> None:
        if dtype not in DTYPES:
            raise ValueError(f"dtype={dtype!r}: expected one of {', '.join(map(repr, DTYPES))}")
        self.dim = dim
        self.dtype = np.dtype(dtype)
        self._chunks: list[np.ndarray] = []
        self._starts = np.zeros(1, np.int64)

    def __len__(self) -> int:
        """Number of rows."""
        return int(self._starts[-1])

    def append(self, vectors: np.ndarray) -> None:
        """Adds rows.

        Args:
            vectors: float32 or float16 [rows, dim], checked already.

        Raises:
            ValueError: for numbers beyond the range of float16, if that is the dtype.
        """
        if (
            self.dtype == np.float16
            and vectors.dtype != np.float16
            and np.abs(vectors).max(initial=0) > 65504
        ):
            raise ValueError("vectors: numbers beyond 65504 do not fit into float16; use dtype='float32'")
        mapped, vectors = isinstance(vectors, np.memmap), np.asarray(vectors)  # a plain view of the map
        if not len(vectors):
            return
        if not mapped:
            vectors = vectors.astype(self.dtype, copy=False)
            while self._chunks and len(self._chunks[-1]) <= len(vectors) < BLOCK:
                vectors = np.concatenate([self._chunks.pop(), vectors]).astype(self.dtype, copy=False)
        self._chunks.append(vectors)
        self._starts = np.cumsum([0, *map(len, self._chunks)])

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """The first row of each block, and the block: [at most BLOCK, dim], a view unless it is converted."""
        for first, chunk in zip(self._starts.tolist(), self._chunks, strict=False):
            for start in range(0, len(chunk), BLOCK):
                yield first + start, chunk[start : start + BLOCK].astype(self.dtype, copy=False)

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copies rows: int64 [n] to [n, dim]."""
        if len(self._chunks) == 1:
            return self._chunks[0][rows].astype(self.dtype, copy=False)
        taken = np.empty((len(rows), self.dim), self.dtype)
        chunk_of = np.searchsorted(self._starts, rows, side="right") - 1
        for chunk in np.unique(chunk_of):
            here = chunk_of == chunk
            taken[here] = self._chunks[chunk][rows[here] - self._starts[chunk]]
        return taken

    def inner_products(self, question: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Inner products of one question and some rows, summed in float64 and rounded to float32: the same
        for the same pair of vectors, whatever else is searched for, and equal for equal vectors.

        Args:
            question: float32 [dim].
            rows: int64 [n].

        Returns:
            float32 [n].
        """
        products = self.take(rows).astype(np.float64) @ question.astype(np.float64)
        return products.astype(np.float32) + np.float32(0)  # adding 0 turns -0.0 into 0.0


def to_float32(block: np.ndarray) -> np.ndarray:
    """float16 or float32 [rows, dim], finite, to float32: much faster than NumPy's own conversion."""
    if block.dtype == np.float32:
        return block
    # float16 has 5 bits of exponent with bias 15, float32 8 with bias 127: shift, then multiply by 2^112.
    # Subnormal numbers come out right too, because the product normalises them.
    bits = block.view(np.int16).astype(np.int32)  # the sign spreads over the upper half
    bits <<= 13
    bits &= np.int32(-0x70002000)  # sign, 5 + 10 bits
    numbers = bits.view(np.float32)
    numbers *= np.float32(2.0**112)
    return numbers


def product_error(questions: np.ndarray, norm: float) -> np.ndarray:
    """How far float32 inner products may be off, in whatever order they are summed, with room for more steps.

    The bound of a sum of n products is n units of rounding times the norms (Higham, Accuracy and Stability of
    Numerical Algorithms, section 3.1); a unit is 2^-24.

    Args:
        questions: float32 [questions, dim].
        norm: of the longest vector that they are multiplied with.

    Returns:
        float32 [questions].
    """
    units = 2 * (questions.shape[1] + 8) * 2.0**-24
    return (units * np.linalg.norm(questions, axis=1) * norm).astype(np.float32)


def largest_norm(vectors: np.ndarray, name: str) -> float:
    """The norm of the longest row, 0 if there is none. Reads block by block.

    Raises:
        ValueError: if a row holds NaN or infinity, or is longer than 1e18: inner products must not overflow.
    """
    largest, bad, first = 0.0, 0, -1
    for start in range(0, len(vectors), BLOCK):
        block = to_float32(vectors[start : start + BLOCK])
        norms = np.sqrt(np.einsum("ij,ij->i", block, block))
        good = norms < 1e18  # NaN is not
        if vectors.dtype == np.float16:
            good &= (
                np.abs(block).max(axis=1) < 65536
            )  # what `to_float32` makes of infinity and NaN is not less
        if not good.all():
            first = start + int(np.argmin(good)) if first < 0 else first
            bad += int((~good).sum())
        largest = max(largest, float(norms.max()))
    if bad:
        raise ValueError(
            f"{name}: {bad} rows hold NaN or infinity, or numbers too large to multiply; the first is row "
            f"{first}"
        )
    return largest
