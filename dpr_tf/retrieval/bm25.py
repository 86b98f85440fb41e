"""BM25: passages that share words with a question (Robertson et al. 1994; Lucene's variant).

Knows words and passages, no model. The scores come from the package `bm25s` (extra `sparse`), which computes
them for every word of every passage beforehand; order, ties and files are made here.
"""

from __future__ import annotations

import json
import os
import unicodedata
import zipfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tf.data.passages import Passage
from dpr_tf.retrieval.scored import ScoredPassage

_FORMAT = "dpr_tf BM25 index 1"


class _WordCharacters(dict):
    """For str.translate: letters, digits and marks stay, everything else becomes a space."""

    def __missing__(self, code: int) -> str:
        self[code] = chr(code) if unicodedata.category(chr(code))[0] in "LNM" else " "
        return self[code]


_WORD_CHARACTERS = _WordCharacters()


def words(text: str) -> list[str]:
    """The runs of letters, digits and marks, compatibility forms composed (NFKC), in lower case; no stemming.

    Scripts without spaces between words, such as Chinese, need a text that is cut into words beforehand.
    """
    return unicodedata.normalize("NFKC", text).lower().translate(_WORD_CHARACTERS).split()


class BM25Index:
    """Scores of all words in all passages, by row. Holds no text. Made by `build` or `load`.

    Args:
        scores: float32 [entries], what a word adds to the score of a passage, one word after the other.
        rows: int32 [entries], the passage of each score, ascending for each word.
        starts: int64 [words + 1], where the scores of each word start.
        vocabulary: the words, in their order.
        ids: of the passages, by row.
        k1, b: what the scores were computed with.

    Raises:
        ValueError: if the arrays do not fit each other.
        ImportError: without bm25s.
    """

    def __init__(
        self,
        scores: np.ndarray,
        rows: np.ndarray,
        starts: np.ndarray,
        vocabulary: Sequence[str],
        ids: Sequence[str],
        k1: float,
        b: float,
    ) -> None:
        _check_arrays(scores, rows, starts, len(vocabulary), len(ids))
        self.ids = ids
        self.k1, self.b = k1, b
        self._number = {word: number for number, word in enumerate(vocabulary)}
        self._scorer = _scorer(k1, b)
        self._scorer.scores = {"data": scores, "indices": rows, "indptr": starts, "num_docs": len(ids)}
        self._scorer.nonoccurrence_array = None

    @classmethod
    def build(cls, passages: Iterable[Passage], *, k1: float = 0.9, b: float = 0.4) -> BM25Index:
        """Counts the words of titles and texts.

        Args:
            passages: a stream: only the numbers of their words are kept, 4 bytes a word.
            k1: how much a word counts that comes again; at least 0.
            b: how much long passages are held back, from 0 to 1. The defaults are those of the DPR paper.

        Raises:
            ValueError: if there are no passages, none has a word, an id comes twice, or k1 or b is out of
                range.
            ImportError: without bm25s.
        """
        if not 0 <= k1 < float("inf") or not 0 <= b <= 1:
            raise ValueError(f"expected k1 of at least 0 and b from 0 to 1, got k1={k1}, b={b}")
        scorer = _scorer(k1, b)
        numbers: dict[str, int] = {}
        ids: dict[str, None] = {}
        texts = _Numbered()
        for passage in passages:
            if passage.id in ids:
                raise ValueError(
                    f"the passage id {passage.id!r} comes twice; ids must be unique in a collection"
                )
            ids[passage.id] = None
            texts.add(
                numbers.setdefault(word, len(numbers)) for word in words(f"{passage.title} {passage.text}")
            )
        if not numbers:
            raise ValueError("there are no passages to index, or none of them has a word")
        built = scorer.build_index_from_ids(range(len(numbers)), texts, show_progress=False)
        scores, rows, starts = built["data"], built["indices"], built["indptr"]
        return cls(scores, rows, starts, list(numbers), list(ids), k1, b)

    def __len__(self) -> int:
        """Number of passages."""
        return len(self.ids)

    def search(self, questions: Sequence[str], k: int) -> tuple[np.ndarray, np.ndarray]:
        """Finds the k passages with the highest scores for each question.

        Args:
            questions: their texts; a word that comes twice counts twice.
            k: passages per question, 1 <= k <= len(self).

        Returns:
            scores: float32 [questions, k], descending, above 0.
            rows: int64 [questions, k]. Equal scores are ordered by row. Where fewer passages share a word
                with the question, the rest is row -1 with score 0.

        Raises:
            ValueError: if k is out of range.
            TypeError: if `questions` is a single str.
        """
        if isinstance(questions, str):
            raise TypeError(f"questions must be a list of str, got one str: [{questions!r}]")
        if not 1 <= k <= len(self):
            raise ValueError(f"k must be between 1 and the index's {len(self)} passages, got {k}")
        scores = np.zeros((len(questions), k), np.float32)
        rows = np.full((len(questions), k), -1, np.int64)
        for position, question in enumerate(questions):
            found_scores, found_rows = self._best(question, k)
            scores[position, : len(found_rows)] = found_scores
            rows[position, : len(found_rows)] = found_rows
        return scores, rows

    def _best(self, question: str, k: int) -> tuple[np.ndarray, np.ndarray]:
        known = [self._number[word] for word in words(question) if word in self._number]
        scores = self._scorer.get_scores_from_ids(known)
        rows = np.flatnonzero(scores)
        if len(rows) > k:
            lowest = np.partition(scores[rows], -k)[-k]
            rows = rows[scores[rows] >= lowest]
        rows = rows[np.argsort(-scores[rows], kind="stable")][:k]
        return scores[rows], rows

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the index to one file, which appears when it is complete.

        Args:
            path: any name; an existing file is replaced.

        Raises:
            OSError: if it cannot be written.
        """
        head = {
            "format": _FORMAT,
            "k1": self.k1,
            "b": self.b,
            "words": list(self._number),
            "ids": list(self.ids),
        }
        arrays = {
            "head": np.frombuffer(json.dumps(head).encode(), np.uint8),
            "scores": self._scorer.scores["data"],
            "rows": self._scorer.scores["indices"],
            "starts": self._scorer.scores["indptr"],
        }
        target = Path(path)
        aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            with open(aside, "wb") as stream:
                np.savez(stream, **arrays)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(aside, target)
        finally:
            aside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> BM25Index:
        """Reads what `save` wrote.

        Raises:
            OSError: if the file cannot be opened.
            ValueError: if it is no such file, or a damaged one.
            ImportError: without bm25s.
        """
        try:
            head, scores, rows, starts = _read(path)
            return cls(scores, rows, starts, head["words"], head["ids"], head["k1"], head["b"])
        except (ValueError, KeyError, TypeError, EOFError, MemoryError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path}: expected a BM25 index, found a damaged or another file ({error}); build it again"
            ) from error


class BM25Retriever:
    """Finds the passages that share words with a question, the rarer the better.

    Args:
        index: of `passages`, in the same order.
        passages: what the rows of the index stand for.

    Raises:
        ValueError: if the ids of index and passages differ.
    """

    def __init__(self, index: BM25Index, passages: Sequence[Passage]) -> None:
        if len(index) != len(passages):
            raise ValueError(
                f"the index holds {len(index)} passages, the collection {len(passages)}; build it again"
            )
        for id_, passage in zip(index.ids, passages, strict=True):
            if id_ != passage.id:
                raise ValueError(
                    f"the index has passage {id_!r} where the collection has {passage.id!r}; build it again"
                )
        self.index = index
        self.passages = passages

    @classmethod
    def build(cls, passages: Sequence[Passage], *, k1: float = 0.9, b: float = 0.4) -> BM25Retriever:
        """Indexes passages, as `BM25Index.build`, and keeps them to be found."""
        return cls(BM25Index.build(passages, k1=k1, b=b), passages)

    def retrieve(self, questions: Sequence[str], k: int) -> list[list[ScoredPassage]]:
        """Finds the best passages for each question.

        Args:
            questions: one or more questions.
            k: passages per question, at least 1.

        Returns:
            For each question its passages, best first, equal scores in the order of the collection. Fewer
            than k if fewer share a word with the question.

        Raises:
            ValueError: if k is below 1.
            TypeError: if `questions` is a single str.
        """
        scores, rows = self.index.search(questions, min(k, len(self.passages)))
        return [
            [
                ScoredPassage(self.passages[row], score, rank)
                for rank, (score, row) in enumerate(zip(some_scores, some_rows, strict=True), start=1)
                if row >= 0
            ]
            for some_scores, some_rows in zip(scores.tolist(), rows.tolist(), strict=True)
        ]


class _Numbered(Sequence):
    """Texts as the numbers of their words, in one array: bm25s asks for a list of lists of Python's ints."""

    def __init__(self) -> None:
        self._numbers = array("i")
        self._ends = array("q", [0])

    def add(self, numbers: Iterable[int]) -> None:
        self._numbers.extend(numbers)
        self._ends.append(len(self._numbers))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: Any) -> Any:
        return self._numbers[self._ends[row] : self._ends[row + 1]].tolist()

    def __iter__(self) -> Iterator[list[int]]:
        return (self[row] for row in range(len(self)))


def _scorer(k1: float, b: float) -> Any:
    try:
        import bm25s
    except ImportError as error:
        raise ImportError('BM25 needs bm25s: pip install "dpr_tf[sparse]"') from error
    return bm25s.BM25(k1=k1, b=b, method="lucene", backend="numpy", csc_backend="numpy")


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], np.ndarray, np.ndarray, np.ndarray]:
    size = os.path.getsize(path)
    with open(path, "rb") as stream, zipfile.ZipFile(stream) as archive:
        if sum(entry.file_size for entry in archive.infolist()) > size:
            raise ValueError("it unpacks to more than its size")
    with np.load(path, allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        if not isinstance(head, dict) or head.get("format") != _FORMAT:
            raise ValueError("its head names another format")
        for name in ("words", "ids"):
            if not isinstance(head[name], list) or not all(isinstance(item, str) for item in head[name]):
                raise ValueError(f"its {name} are no list of text")
        for name in ("k1", "b"):
            if not isinstance(head[name], int | float):
                raise ValueError(f"its {name} is no number")
        return head, arrays["scores"], arrays["rows"], arrays["starts"]


def _check_arrays(
    scores: np.ndarray, rows: np.ndarray, starts: np.ndarray, words: int, passages: int
) -> None:
    dtypes = [array.dtype.name for array in (scores, rows, starts)]
    if dtypes != ["float32", "int32", "int64"] or not scores.ndim == rows.ndim == starts.ndim == 1:
        raise ValueError(
            f"expected float32 scores, int32 rows and int64 starts, each in one axis, found {dtypes}"
        )
    if len(scores) != len(rows) or len(starts) != words + 1 or starts[0] != 0 or starts[-1] != len(scores):
        raise ValueError(
            f"{len(scores)} scores, {len(rows)} rows and {len(starts)} starts do not fit {words} words"
        )
    if (np.diff(starts) < 0).any() or (len(rows) and (rows.min() < 0 or rows.max() >= passages)):
        raise ValueError(f"starts or rows point outside of the {passages} passages")
    if not np.isfinite(scores).all():
        raise ValueError("scores are not finite")
