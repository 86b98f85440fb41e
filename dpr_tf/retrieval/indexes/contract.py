"""What every index does. Knows rows, vectors and ids; it has never heard of text."""

from __future__ import annotations

import abc
import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from dpr_tf.retrieval.indexes import files
from dpr_tf.retrieval.indexes.files import Part, Saved
from dpr_tf.retrieval.indexes.ids import Ids
from dpr_tf.retrieval.indexes.vectors import largest_norm

if TYPE_CHECKING:
    from typing_extensions import Self


class Origin(NamedTuple):
    """Where vectors come from: only vectors of one model and one convention can be compared.

    Attributes:
        model: fingerprint of the encoder's weights.
        token_types: "zeros" or "tokenizer", as they were given to the encoder.
    """

    model: str
    token_types: str


class Index(abc.ABC):
    """Finds the vectors with the largest inner products. A contract: use one of the indexes.

    A row is the position of a vector in the order of `add`, and stays its number for good: removing a vector
    leaves its row empty, and the next one added gets a new row. To free the space, build a new index.

    Args:
        dim: width of the vectors.
        origin: where the vectors come from; vectors of another origin are refused. Default: unknown.

    Attributes:
        dim, origin: as given.
        data: fingerprints of what was embedded, in the order of `add`.
        ids: the id of each row, removed rows included.
    """

    kind: ClassVar[str]

    def __init__(self, dim: int, origin: Origin | None = None) -> None:
        if dim < 1:
            raise ValueError(f"dim must be at least 1, got {dim}")
        self.dim = dim
        self.origin = origin
        self.data: list[str] = []
        self.ids = Ids()
        self._live = np.empty(0, bool)
        self._largest_norm = 0.0

    def __len__(self) -> int:
        """Number of vectors that can be found: added and not removed."""
        return int(self._live.sum())

    @property
    @abc.abstractmethod
    def is_exact(self) -> bool:
        """Whether `search` finds the true best of the vectors it holds, always."""

    @property
    @abc.abstractmethod
    def options(self) -> dict[str, Any]:
        """The keyword arguments that make an empty index like this one."""

    def add(
        self,
        vectors: np.ndarray,
        ids: Sequence[str] | None = None,
        *,
        origin: Origin | None = None,
        data: str | None = None,
    ) -> None:
        """Appends vectors; their rows continue the count.

        Args:
            vectors: float32 or float16 [passages, dim], memory-mapped or not; may be kept without a copy, so
                do not change them afterwards.
            ids: the id of each. Default: its row, in decimal.
            origin: where the vectors come from; must be the index's.
            data: fingerprint of what was embedded.

        Raises:
            ValueError: for another shape, dtype or origin, values that are not finite, or ids not unique.
        """
        self._check_origin(origin)
        self._check(vectors, "vectors", (np.float32, np.float16))
        norm = largest_norm(vectors, "vectors")
        first = len(self.ids)
        ids = [str(row) for row in range(first, first + len(vectors))] if ids is None else list(ids)
        self._check_ids(ids, len(vectors))
        self._append(vectors)
        self.ids.extend(ids)
        self._live = np.concatenate([self._live, np.ones(len(vectors), bool)])
        self._largest_norm = max(self._largest_norm, norm)
        if data is not None and data not in self.data:
            self.data.append(data)

    def remove(self, ids: Sequence[str]) -> None:
        """Removes vectors, so that no search finds them.

        Args:
            ids: their ids.

        Raises:
            KeyError: if an id is not there; then none is removed.
        """
        self._live[self.rows(ids)] = False

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Where vectors stand, as `search` takes it for `only` and `exclude`.

        Args:
            ids: their ids.

        Returns:
            int64 [ids].

        Raises:
            KeyError: if an id is not there.
        """
        if isinstance(ids, str):
            raise TypeError(f"ids must be a list of str, got one str: [{ids!r}]")
        rows = self.ids.rows_of(ids, self._live)
        if (rows < 0).any():
            absent = [one for one, row in zip(ids, rows, strict=True) if row < 0]
            raise KeyError(
                f"{len(absent)} of {len(ids)} ids are not in the index, the first is {absent[0]!r}"
            )
        return rows

    def search(
        self,
        questions: np.ndarray,
        k: int,
        *,
        only: np.ndarray | None = None,
        exclude: Sequence[Iterable[int]] | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k vectors with the largest inner product for each question.

        Args:
            questions: float32 [questions, dim].
            k: vectors per question, at least 1; may be larger than the index.
            only: int64 [n], the rows that may be found. Default: all.
            exclude: for each question the rows that it must not find.

        Returns:
            scores: float32 [questions, k], descending; may be negative; -inf where nothing more is found.
            rows: int64 [questions, k], positions in the order of `add`; equal scores are ordered by row; -1
                where nothing more is found.

        Raises:
            ValueError: for another shape or dtype, values that are not finite, k below 1, or rows that the
                index does not have.
        """
        self._check(questions, "questions", (np.float32,))
        largest_norm(questions, "questions")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        allowed = self._allowed(only)
        excluded = [] if exclude is None else self._excluded(exclude, len(questions))
        there = len(self.ids) if allowed is None else int(allowed.sum())
        wanted = min(k + max(map(len, excluded), default=0), there)
        scores = np.full((len(questions), max(k, wanted)), -np.inf, np.float32)
        rows = np.full(scores.shape, -1, np.int64)
        if wanted and len(questions):
            scores[:, :wanted], rows[:, :wanted] = self._search(questions, wanted, allowed)
        if excluded:
            scores, rows = _without(scores, rows, excluded)
        return scores[:, :k], rows[:, :k]

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Writes the index. If the process dies meanwhile, the folder holds the index of before, or none.

        Args:
            folder: made if absent; an index in it is replaced.

        Raises:
            ValueError: if the folder holds other files.
            OSError: if it cannot be written.
        """
        text, ends = self.ids.arrays()
        parts: dict[str, Part] = {
            "ids": lambda path: files.write_array(path, text),
            "ends": lambda path: files.write_array(path, ends),
            "live": lambda path: files.write_array(path, self._live),
            **self._parts(),
        }
        manifest = {
            "kind": self.kind,
            "dim": self.dim,
            "rows": len(self.ids),
            "largest_norm": self._largest_norm,
            "origin": None if self.origin is None else self.origin._asdict(),
            "data": self.data,
            "options": self.options,
        }
        files.save(folder, manifest, parts)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], *, memory_map: bool = False, verify: bool | None = None
    ) -> Self:
        """Reads what `save` wrote.

        Args:
            folder: where.
            memory_map: whether vectors stay on disk and are read as a search needs them.
            verify: whether to compare the files' checksums. Default: unless they are memory-mapped, since it
                reads all of them.

        Raises:
            OSError: if there is no complete index.
            ValueError: if it is damaged, or of another kind.
        """
        saved = files.read(folder, memory_map, not memory_map if verify is None else verify)
        kind, origin = saved.manifest["kind"], saved.manifest.get("origin")
        if kind != cls.kind:
            raise ValueError(f"{folder} holds an index of kind {kind!r}, {cls.__name__} reads {cls.kind!r}")
        try:
            origin = None if origin is None else Origin(**origin)
            index = cls(saved.manifest["dim"], origin, **saved.manifest["options"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"{saved.folder / files.MANIFEST} is damaged: {error}") from None
        index._restore(saved)
        index.ids = Ids(
            saved.array("ids", (-1,), np.dtype(np.uint8)),
            saved.array("ends", (saved.rows,), np.dtype(np.int64)),
        )
        index._live = np.array(saved.array("live", (saved.rows,), np.dtype(bool)))
        index._largest_norm = float(saved.manifest["largest_norm"])
        index.data = [str(one) for one in saved.manifest["data"]]
        return index

    @abc.abstractmethod
    def _append(self, vectors: np.ndarray) -> None:
        """Takes over rows that are checked."""

    @abc.abstractmethod
    def _search(
        self, questions: np.ndarray, k: int, allowed: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, for 1 <= k <= the number of allowed rows; `allowed` is bool [rows] or None, all."""

    @abc.abstractmethod
    def _parts(self) -> dict[str, Part]:
        """What to write beside ids and manifest."""

    @abc.abstractmethod
    def _restore(self, saved: Saved) -> None:
        """Reads into an empty index what `_parts` wrote."""

    def _allowed(self, only: np.ndarray | None) -> np.ndarray | None:
        if only is None:
            return None if self._live.all() else self._live
        allowed = np.zeros(len(self.ids), bool)
        allowed[self._known(only, "only")] = True
        return allowed & self._live

    def _excluded(self, exclude: Sequence[Iterable[int]], questions: int) -> list[np.ndarray]:
        if len(exclude) != questions:
            raise ValueError(f"exclude must have rows for each of {questions} questions, got {len(exclude)}")
        return [np.unique(self._known(list(rows), "exclude")) for rows in exclude]

    def _known(self, rows: Any, name: str) -> np.ndarray:
        known = np.asarray(rows)
        known = known.astype(np.int64) if known.size == 0 else known
        bad = known.ndim != 1 or known.dtype.kind not in "iu"
        if bad or (known.size and not 0 <= known.min() <= known.max() < len(self.ids)):
            raise ValueError(
                f"{name} must hold rows of the index, whole numbers from 0 to {len(self.ids) - 1}"
            )
        return known

    def _check(self, vectors: np.ndarray, name: str, dtypes: tuple[Any, ...]) -> None:
        if vectors.dtype not in dtypes or vectors.ndim != 2 or vectors.shape[1] != self.dim:
            kinds = " or ".join(np.dtype(dtype).name for dtype in dtypes)
            raise ValueError(
                f"{name} must be {kinds} [{name}, {self.dim}], got {vectors.dtype} {list(vectors.shape)}; "
                "vectors of one index come from one pair of encoders"
            )

    def _check_origin(self, origin: Origin | None) -> None:
        if origin != self.origin:
            raise ValueError(
                f"the index holds vectors of {_told(self.origin)}, these are of {_told(origin)}; embed the "
                "passages with the same model and token types, or build another index"
            )

    def _check_ids(self, ids: list[str], count: int) -> None:
        if len(ids) != count:
            raise ValueError(f"expected an id for each of {count} vectors, got {len(ids)} ids")
        if len(set(ids)) < count:
            twice = next(one for one in ids if ids.count(one) > 1)
            raise ValueError(f"the id {twice!r} is given twice; ids must be unique")
        there = self.ids.rows_of(ids, self._live)
        if (there >= 0).any():
            taken = ids[int(np.argmax(there >= 0))]
            raise ValueError(
                f"the id {taken!r} is in the index already; remove it first to replace its vector"
            )


def _told(origin: Origin | None) -> str:
    return (
        "unknown origin"
        if origin is None
        else f"model {origin.model} with token types {origin.token_types!r}"
    )


def _without(
    scores: np.ndarray, rows: np.ndarray, excluded: list[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Takes each question's excluded rows out; what follows moves up."""
    for question, unwanted in enumerate(excluded):
        keep = ~np.isin(rows[question], unwanted)
        kept = int(keep.sum())
        scores[question, :kept], rows[question, :kept] = scores[question, keep], rows[question, keep]
        scores[question, kept:], rows[question, kept:] = -np.inf, -1
    return scores, rows
