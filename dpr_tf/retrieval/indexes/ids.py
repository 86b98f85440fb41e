"""The ids of an index's rows as one block of text: millions take the size of their letters, not objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

_NOTHING = np.empty(0, np.int64), np.empty(0, np.int64)
_RECENT = 100_000  # ids that a dict may hold


class Ids(Sequence[str]):
    """Passage ids by row. An id whose row was removed may be given again, to a new row.

    Args:
        text: uint8, the ids in UTF-8, one after the other.
        ends: int64 [rows], where each ends in `text`.

    Raises:
        ValueError: if the ends do not divide the text.
    """

    def __init__(self, text: np.ndarray | None = None, ends: np.ndarray | None = None) -> None:
        self._text = bytearray() if text is None else bytearray(text.tobytes())
        self._ends = np.empty(0, np.int64) if ends is None else ends.astype(np.int64)
        lengths = np.diff(self._ends, prepend=0)
        if (lengths < 0).any() or (self._ends[-1] if len(self._ends) else 0) != len(self._text):
            raise ValueError("the ends of the ids do not divide their text; the index's files are damaged")
        # Where an id stands: the latest rows in a dict, the others by their hashes, sorted, with their rows.
        self._recent: dict[str, int] = {}
        self._hashes: tuple[np.ndarray, np.ndarray] | None = None if len(self._ends) else _NOTHING

    def __len__(self) -> int:
        """Number of rows, removed ones included."""
        return len(self._ends)

    def __getitem__(self, row: Any) -> Any:
        """The id of a row, or the list of ids of a slice."""
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        row = range(len(self))[row]
        start = self._ends[row - 1] if row else 0
        return self._text[start : self._ends[row]].decode("utf-8")

    def __iter__(self) -> Iterator[str]:
        """The ids in the order of their rows."""
        start = 0
        for end in self._ends.tolist():
            yield self._text[start:end].decode("utf-8")
            start = end

    def extend(self, ids: Sequence[str]) -> None:
        """Gives the next rows their ids."""
        encoded = [one.encode("utf-8") for one in ids]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        self._ends = np.concatenate([self._ends, len(self._text) + np.cumsum(lengths)])
        self._text += b"".join(encoded)
        if self._hashes is None or len(self._recent) + len(ids) > max(_RECENT, len(self._hashes[0])):
            self._hashes, self._recent = None, {}
        else:
            self._recent.update(zip(ids, range(len(self) - len(ids), len(self)), strict=True))

    def rows_of(self, ids: Sequence[str], live: np.ndarray) -> np.ndarray:
        """Where ids stand.

        Args:
            ids: the ids.
            live: bool [rows], False for rows that were removed.

        Returns:
            int64 [ids], -1 for an id that no live row has.
        """
        hashes, rows = self._sorted_hashes()
        first = np.searchsorted(hashes, np.fromiter(map(hash, ids), np.int64, len(ids)))
        found = np.full(len(ids), -1, np.int64)
        for position, (one, start) in enumerate(zip(ids, first.tolist(), strict=True)):
            recent = self._recent.get(one, -1)
            if recent >= 0 and live[recent]:
                found[position] = recent
                continue
            wanted = hash(one)
            while start < len(hashes) and hashes[start] == wanted:
                row = int(rows[start])
                if live[row] and self[row] == one:
                    found[position] = row
                    break
                start += 1
        return found

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """`text` and `ends`, as the constructor takes them."""
        return np.frombuffer(bytes(self._text), np.uint8), self._ends

    def _sorted_hashes(self) -> tuple[np.ndarray, np.ndarray]:
        if self._hashes is None:
            hashes = np.fromiter(map(hash, self), np.int64, len(self))
            rows = np.argsort(hashes, kind="stable")
            self._hashes = hashes[rows], rows
        return self._hashes
