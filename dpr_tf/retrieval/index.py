"""The exact index: every vector is compared with every question. Knows rows and vectors, no text."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_QUESTIONS, _ROWS = 256, 16384  # one block of scores: 16 MB of float32, 32 MB of keys


class ExactIndex:
    """Finds the largest inner products by computing all of them, block by block.

    Args:
        dim: width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim
        self._chunks: list[np.ndarray] = []

    def __len__(self) -> int:
        """Number of vectors."""
        return sum(len(chunk) for chunk in self._chunks)

    def add(self, vectors: np.ndarray) -> None:
        """Appends vectors; their rows continue the count.

        Args:
            vectors: float32 [passages, dim]; kept without a copy, so do not change them afterwards.

        Raises:
            ValueError: for another shape or dtype, or for values that are not finite.
        """
        self._check(vectors, "vectors")
        self._chunks.append(vectors)

    def search(self, questions: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k vectors with the largest inner product for each question.

        Args:
            questions: float32 [questions, dim].
            k: vectors per question, 1 <= k <= len(self).

        Returns:
            scores: float32 [questions, k], descending; may be negative.
            rows: int64 [questions, k], positions in the order of `add`. Equal scores are ordered by row.

        Raises:
            ValueError: for another shape or dtype, values that are not finite, or k out of range.

        Cost:
            O(questions * passages * dim) time; memory for one block of scores, whatever the size of the
            index.
        """
        self._check(questions, "questions")
        if not 1 <= k <= len(self):
            raise ValueError(f"k must be between 1 and the index's {len(self)} vectors, got {k}")
        keys = np.empty((len(questions), k), np.uint64)
        for start in range(0, len(questions), _QUESTIONS):
            keys[start : start + _QUESTIONS] = self._best_keys(questions[start : start + _QUESTIONS], k)
        return _scores_and_rows(keys)

    def _best_keys(self, questions: np.ndarray, k: int) -> np.ndarray:
        """uint64 [questions, k], descending."""
        best = np.empty((len(questions), 0), np.uint64)
        for first_row, vectors in self._blocks():
            best = np.concatenate([best, _keys(questions @ vectors.T, first_row)], axis=1)
            if best.shape[1] > k:
                best = np.partition(best, -k, axis=1)[:, -k:]
        return np.sort(best, axis=1)[:, ::-1]

    def _blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        row = 0
        for chunk in self._chunks:
            for start in range(0, len(chunk), _ROWS):
                yield row + start, chunk[start : start + _ROWS]
            row += len(chunk)

    def _check(self, vectors: np.ndarray, name: str) -> None:
        if vectors.dtype != np.float32 or vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise ValueError(
                f"{name} must be float32 [{name}, {self.dim}], got {vectors.dtype} {list(vectors.shape)}; "
                "vectors of one index come from one pair of encoders"
            )
        if not np.isfinite(vectors).all():
            rows = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
            raise ValueError(f"{name}: {len(rows)} rows hold NaN or infinity, the first is row {rows[0]}")


# A key is one number per (score, row): the score's bits in the upper half, made to sort as the score does,
# and the row counted backwards in the lower half. So the largest keys are the best scores, and equal scores
# go by row.
_SIGN, _ROW_BITS = np.uint32(1 << 31), np.uint64(0xFFFFFFFF)


def _keys(scores: np.ndarray, first_row: int) -> np.ndarray:
    """uint64 keys of float32 scores [questions, rows]."""
    bits = (scores + np.float32(0)).view(np.uint32)  # adding 0 turns -0.0 into 0.0
    ordered = np.where(bits & _SIGN, ~bits, bits | _SIGN)  # negative floats sort backwards by their bits
    rows = np.arange(first_row, first_row + scores.shape[1], dtype=np.uint64)
    return (ordered.astype(np.uint64) << np.uint64(32)) | (_ROW_BITS - rows)


def _scores_and_rows(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The inverse of `_keys`."""
    ordered = (keys >> np.uint64(32)).astype(np.uint32)
    bits = np.where(ordered & _SIGN, ordered & ~_SIGN, ~ordered)
    return bits.view(np.float32), (_ROW_BITS - (keys & _ROW_BITS)).astype(np.int64)
