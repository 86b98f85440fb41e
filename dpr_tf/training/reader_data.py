"""What a reader is trained with, tokenized once: any question can be read at any time. Knows no model.

A question is its numbers of positives and of negatives, then the rows of both; a row is its length, where the
text begins, the number of its spans, the first and last tokens of these, and its token ids.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from dpr_tf.training import reader_passages
from dpr_tf.training.reader_passages import ReaderQuestion, ReaderRow


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
    """Questions with their positives and negatives by number, from 0 in the order they come.

    They stand in a temporary file, which is gone with the process and has two or four bytes for each token;
    memory holds 8 bytes for each question.

    Args:
        questions: any number; those without positives are counted and left out.
        vocabulary_size: token ids are below it.

    Attributes:
        counts: a ReaderCounts.
        digest: of all that is stored; the same for the same questions.

    Raises:
        ValueError: if no question has a positive.
    """

    def __init__(self, questions: Iterable[ReaderQuestion], vocabulary_size: int) -> None:
        # Nothing but token ids may be as large as they are.
        self._dtype = np.dtype(np.uint16 if vocabulary_size <= 2**16 else np.int32)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        counts, ends, hashed = Counter[str](), [0], hashlib.blake2b(digest_size=16)
        for question in questions:
            _count(counts, question)
            if not question.dropped:
                record = _numbers(question).astype(self._dtype).tobytes()
                hashed.update(record)
                ends.append(ends[-1] + self._file.write(record))
        self.counts = ReaderCounts(**{name: counts[name] for name in ReaderCounts._fields})
        self.digest = hashed.hexdigest()
        self._ends = np.array(ends)
        _check_kept(self.counts)

    def __len__(self) -> int:
        return self.counts.kept

    def __getitem__(self, question: int) -> Passages:
        start, end = self._ends[question], self._ends[question + 1]
        with self._lock:
            self._file.seek(start)
            record = self._file.read(end - start)
        numbers = np.frombuffer(record, self._dtype).astype(np.int32)
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


def _check_kept(counts: ReaderCounts) -> None:
    if not counts.kept:
        raise ValueError(
            f"none of {counts.questions} questions can be trained with: {counts.without_answers} have no "
            f"answers, for {counts.without_passage} no passage contains an answer, for "
            f"{counts.without_tokens} none contains its tokens; retrieve more passages"
        )


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
