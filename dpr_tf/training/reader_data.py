"""What a reader is trained with, tokenized once and kept on disk: any number of questions in little memory.

A training file is streamed through a `PassageChooser` into one file of numbers, which is mapped into memory:
any question can be taken at any time, and a run that goes on after a kill finds them ready.

A question is its numbers of positives and of negatives, then the rows of both; a row is its length, where the
text begins, the number of its spans, the first and last tokens of these, and its token ids.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.training import reader_passages
from dpr_tf.training.reader_passages import ReaderQuestion, ReaderRow

_FORMAT = "dpr_tf reader data 1"
_MANIFEST, _NUMBERS, _ENDS = "manifest.json", "numbers", "ends.npy"


class ReaderCounts(NamedTuple):
    """What came of the questions of a training file.

    Attributes:
        questions: read.
        kept: that have a positive; the others are left out.
        without_answers: left out, because the file gives no answers.
        without_passage: left out, because no passage contains an answer.
        without_tokens: left out, because no passage contains the tokens of one where the reader sees them.
        from_gold_article: kept, with positives from the gold article.
        without_negatives: kept, with nothing to rank the positive against.
        positives, negatives: passages of all that are kept.
    """

    questions: int
    kept: int
    without_answers: int
    without_passage: int
    without_tokens: int
    from_gold_article: int
    without_negatives: int
    positives: int
    negatives: int


class Passages(NamedTuple):
    """The rows that a question may be trained with.

    Attributes:
        positives: at least one, with spans.
        negatives: may be none.
    """

    positives: list[ReaderRow]
    negatives: list[ReaderRow]


class ReaderData:
    """Questions with their positives and negatives, from a folder that `write_reader_data` made.

    Args:
        folder: where they are.

    Attributes:
        folder: as given.
        counts: a ReaderCounts.
        made_of: what `write_reader_data` was told.

    Raises:
        OSError: if it is no such folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = folder = Path(folder)
        try:
            manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        except ValueError:
            manifest = {}
        if manifest.get("format") != _FORMAT:
            raise OSError(f"{folder / _MANIFEST} is not of {_FORMAT!r}: remove the folder and train again")
        self.counts = ReaderCounts(**manifest["counts"])
        self.made_of: dict[str, Any] = manifest["made_of"]
        self._numbers = np.memmap(folder / _NUMBERS, np.dtype(manifest["dtype"]), "r")
        self._ends = np.load(folder / _ENDS)

    def __len__(self) -> int:
        return self.counts.kept

    def __getitem__(self, question: int) -> Passages:
        """The passages of a question, counted from 0 in the order of the file; left out ones do not count."""
        numbers = self._numbers[self._ends[question] : self._ends[question + 1]].astype(np.int32)
        positives, negatives = numbers[:2].tolist()
        rows, place = [], 2
        for _ in range(positives + negatives):
            length, text_start, spans = numbers[place : place + 3].tolist()
            place += 3
            pairs = numbers[place : place + 2 * spans].reshape(-1, 2).tolist()
            place += 2 * spans
            ids = numbers[place : place + length]
            rows.append(ReaderRow(ids, text_start, tuple((first, last) for first, last in pairs)))
            place += length
        return Passages(rows[:positives], rows[positives:])


def write_reader_data(
    folder: str | os.PathLike[str],
    questions: Iterable[ReaderQuestion],
    vocabulary_size: int,
    made_of: dict[str, Any],
) -> None:
    """Writes questions as they come, aside, and renames the folder when it is complete.

    Args:
        folder: replaced if it is there.
        questions: any number; those without positives are counted and left out.
        vocabulary_size: token ids are below it.
        made_of: what the questions were made of and how, which JSON can hold; kept in the manifest.

    Raises:
        OSError: if the folder cannot be written.
        ValueError: if no question has a positive.
    """
    target = Path(folder)
    aside = target.with_name(f".{target.name}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    dtype = np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.int32)  # nothing but ids may be so large
    counts: Counter[str] = Counter()
    ends = [0]
    with open(aside / _NUMBERS, "wb") as file:
        for question in questions:
            _count(counts, question)
            if not question.dropped:
                numbers = _numbers(question).astype(dtype)
                file.write(numbers.tobytes())
                ends.append(ends[-1] + len(numbers))
    if not counts["kept"]:
        shutil.rmtree(aside)
        raise ValueError(
            f"none of {counts['questions']} questions can be trained with: {counts['without_answers']} have "
            f"no answers, for {counts['without_passage']} no passage contains an answer, for "
            f"{counts['without_tokens']} none contains its tokens; retrieve more passages"
        )
    np.save(aside / _ENDS, np.array(ends, np.int64))
    manifest = {
        "format": _FORMAT,
        "dtype": dtype.str,
        "counts": {name: counts[name] for name in ReaderCounts._fields},
        "made_of": made_of,
    }
    (aside / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(target, ignore_errors=True)
    os.replace(aside, target)


def _numbers(question: ReaderQuestion) -> np.ndarray:
    parts: list[Any] = [[len(question.positives), len(question.negatives)]]
    for row in (*question.positives.values(), *question.negatives.values()):
        parts += [[len(row.ids), row.text_start, len(row.spans)], np.ravel(row.spans), row.ids]
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


_DROPPED = {
    reader_passages.NO_ANSWERS: "without_answers",
    reader_passages.NO_PASSAGE: "without_passage",
    reader_passages.NO_TOKENS: "without_tokens",
}


def _count(counts: Counter[str], question: ReaderQuestion) -> None:
    counts["questions"] += 1
    if question.dropped:
        counts[_DROPPED[question.dropped]] += 1
        return
    counts["kept"] += 1
    counts["from_gold_article"] += question.from_gold_article
    counts["without_negatives"] += not question.negatives
    counts["positives"] += len(question.positives)
    counts["negatives"] += len(question.negatives)
