"""The best k of a stream of estimated scores, decided exactly. Knows scores and rows, no vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Rescore = Callable[[int, np.ndarray], np.ndarray]

_MANY = 4096  # candidates per question that are worth their memory


class Best:
    """Candidates for the k best rows of each question, while blocks of estimates stream past.

    An estimate comes with its error: the exact score lies within estimate ± error. A row is let go only
    when k others are surely better, so the result is exact however rough the estimates are; rough ones
    merely keep more candidates.

    Args:
        questions: number of questions.
        k: rows wanted for each.
        rescore: gives the exact scores, float32 [n], of a question's number and rows, int64 [n].
    """

    def __init__(self, questions: int, k: int, rescore: Rescore) -> None:
        self._k = k
        self._rescore = rescore
        self._rows = np.full((questions, 0), -1, np.int64)  # -1 where a question has fewer candidates
        self._low = np.full((questions, 0), -np.inf, np.float32)
        self._high = np.full((questions, 0), -np.inf, np.float32)
        self._fresh = 0  # columns since the last pruning
        # A score below its question's threshold is not among the best k.
        self.threshold = np.full(questions, -np.inf, np.float32)

    def raise_threshold(self, estimates: np.ndarray, error: np.ndarray) -> None:
        """Learns from a first sample which scores are too low, without keeping its rows.

        Args:
            estimates: float32 [questions, rows] of distinct rows; of fewer than k nothing is learnt.
            error: float32 [questions].
        """
        if estimates.shape[1] >= self._k:
            kth = np.partition(estimates, -self._k, axis=1)[:, -self._k]
            np.maximum(self.threshold, _down(kth - error), out=self.threshold)

    def offer(
        self, questions: np.ndarray, rows: np.ndarray, estimates: np.ndarray, error: np.ndarray
    ) -> None:
        """Takes candidates in.

        Args:
            questions: int64 [n], ascending: the question of each.
            rows: int64 [n].
            estimates: float32 [n].
            error: float32 [questions of the constructor].
        """
        if not len(rows):
            return
        counts = np.bincount(questions, minlength=len(self.threshold))
        column = np.arange(len(questions)) - (np.cumsum(counts) - counts)[questions]
        width = int(counts.max())
        for name, values, fill in (
            ("_rows", rows, -1),
            ("_low", _down(estimates - error[questions]), -np.inf),
            ("_high", _up(estimates + error[questions]), -np.inf),
        ):
            old = getattr(self, name)
            new = np.full((len(counts), width), fill, old.dtype)
            new[questions, column] = values
            setattr(self, name, np.concatenate([old, new], axis=1))
        self._fresh += width
        if self._fresh > self._k:
            self._prune()

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """The best rows.

        Returns:
            scores: float32 [questions, k], exact, descending; -inf where there are fewer than k.
            rows: int64 [questions, k], equal scores by row; -1 where there are fewer than k.
        """
        self._drop()
        self._settle()
        return self._low, self._rows

    def _prune(self) -> None:
        """Lets go of the rows that k others surely beat."""
        self._drop()
        if self._rows.shape[1] > 4 * self._k:  # the estimates are rough: exact scores of the likely best help
            self._rescore_likely()
            self._drop()
        if self._rows.shape[1] > 8 * self._k + _MANY:  # rows that estimates cannot tell apart, or equal ones
            self._settle()
        self._fresh = 0

    def _drop(self) -> None:
        if self._rows.shape[1] > self._k:
            kth = np.partition(self._low, -self._k, axis=1)[:, -self._k]
            np.maximum(self.threshold, kth, out=self.threshold)
        keep = (self._high >= self.threshold[:, None]) & (self._rows >= 0)
        width = int(keep.sum(axis=1).max(initial=0))
        order = np.argsort(~keep, axis=1, kind="stable")[:, :width]
        kept = np.take_along_axis(keep, order, axis=1)
        self._rows = np.where(kept, np.take_along_axis(self._rows, order, axis=1), -1)
        self._low = np.where(kept, np.take_along_axis(self._low, order, axis=1), -np.inf)
        self._high = np.where(kept, np.take_along_axis(self._high, order, axis=1), -np.inf)

    def _rescore_likely(self) -> None:
        """Gives each question's k highest candidates their exact scores."""
        likely = np.argpartition(self._high, -self._k, axis=1)[:, -self._k :]
        for question, columns in enumerate(likely):
            columns = columns[self._rows[question, columns] >= 0]
            self._low[question, columns] = self._high[question, columns] = self._exact(question, columns)

    def _settle(self) -> None:
        """Keeps of each question the k best rows by exact score, in order."""
        scores = np.full((len(self.threshold), self._k), -np.inf, np.float32)
        best = np.full(scores.shape, -1, np.int64)
        for question, rows in enumerate(self._rows):
            columns = np.flatnonzero(rows >= 0)
            exact = self._exact(question, columns)
            order = np.lexsort((rows[columns], -exact))[: self._k]
            scores[question, : len(order)] = exact[order]
            best[question, : len(order)] = rows[columns[order]]
        self._rows, self._low, self._high = best, scores, scores.copy()
        np.maximum(self.threshold, scores[:, -1], out=self.threshold)

    def _exact(self, question: int, columns: np.ndarray) -> np.ndarray:
        """Exact scores of candidates; those whose bounds coincide are known."""
        exact = self._low[question, columns]
        rough = exact < self._high[question, columns]
        if rough.any():
            exact[rough] = self._rescore(question, self._rows[question, columns[rough]])
        return exact


def pairs_above(estimates: np.ndarray, least: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds the few estimates that reach their question's threshold.

    Args:
        estimates: [rows, questions].
        least: [questions].

    Returns:
        questions, ascending, and rows: int64 [pairs].
    """
    rows, questions = np.divmod(np.flatnonzero(estimates >= least), estimates.shape[1])
    order = np.argsort(questions, kind="stable")
    return questions[order], rows[order]


def _down(values: np.ndarray) -> np.ndarray:
    return np.nextafter(values, np.float32(-np.inf))


def _up(values: np.ndarray) -> np.ndarray:
    return np.nextafter(values, np.float32(np.inf))
