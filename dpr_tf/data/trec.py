"""Judgements and runs: TREC's qrels and run files, and the qrels of BEIR."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from dpr_tf.data.faults import Scan, Scanned, faulty, shown, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.files import Lines, opened, written_text

BEIR_HEADER = ("query-id", "corpus-id", "score")
_TREC = ("question", "iteration", "passage", "relevance")
_RUN = ("question", "Q0", "passage", "rank", "score", "tag")


class Judgement(NamedTuple):
    """How relevant a passage is to a question.

    Attributes:
        question_id: of the question.
        passage_id: of the passage.
        relevance: 0 or less is not relevant.
    """

    question_id: str
    passage_id: str
    relevance: int


class RunLine(NamedTuple):
    """A passage that a system found for a question.

    Attributes:
        question_id: of the question.
        passage_id: of the passage.
        rank: as it stands in the file; systems begin at 0 or 1.
        score: higher is better.
        tag: the system's name.
    """

    question_id: str
    passage_id: str
    rank: int
    score: float
    tag: str


def read_qrels(path: str | os.PathLike[str]) -> Iterator[Judgement]:
    """Streams judgements, plain or gzip.

    Args:
        path: TREC's lines of question, iteration (ignored), passage and relevance between white space; or,
            with the header `query-id`, `corpus-id`, `score`, BEIR's three columns.

    Yields:
        The judgements in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a line with another number of fields, or a relevance that is no whole number.
    """
    return sound(path, scan_qrels(path))


def scan_qrels(path: str | os.PathLike[str]) -> Scan[Judgement]:
    """`read_qrels`, with the faults in their places."""
    columns: tuple[str, ...] = _TREC
    for number, row in enumerate(_scan_fields(path)):
        if not row.faults and number == 0 and tuple(row.value) == BEIR_HEADER:
            columns = BEIR_HEADER
        else:
            yield row if row.faults else _judgement(row.line, row.value, columns)  # type: ignore[misc]


def _judgement(line: int, row: list[str], columns: tuple[str, ...]) -> Scanned[Judgement]:
    if len(row) != len(columns):
        return _wrong_number(line, row, columns)
    try:
        return Scanned(line, Judgement(row[0], row[-2], int(row[-1])))
    except ValueError:
        return faulty(line, f"expected a whole number, found {shown(row[-1])}", columns[-1])


def read_run(path: str | os.PathLike[str]) -> Iterator[RunLine]:
    """Streams what a system found, plain or gzip.

    Args:
        path: TREC's lines of question, Q0 (ignored), passage, rank, score and tag, between white space.

    Yields:
        The lines in the order of the file.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a line with another number of fields, a rank that is no whole number, a score that
            is no finite number.
    """
    return sound(path, scan_run(path))


def scan_run(path: str | os.PathLike[str]) -> Scan[RunLine]:
    """`read_run`, with the faults in their places."""
    for row in _scan_fields(path):
        yield row if row.faults else _run_line(row.line, row.value)  # type: ignore[misc]


def _run_line(line: int, row: list[str]) -> Scanned[RunLine]:
    if len(row) != len(_RUN):
        return _wrong_number(line, row, _RUN)
    question, _, passage, rank, score, tag = row
    fields = Fields({"score": score}, line)
    if not rank.isdecimal():
        fields.note("rank", f"expected a whole number of at least 0, found {shown(rank)}")
        rank = "0"
    return fields.scanned(RunLine(question, passage, int(rank), fields.number("score") or 0.0, tag))


def _scan_fields(path: str | os.PathLike[str]) -> Scan[list[str]]:
    with opened(path) as stream:
        lines = Lines(stream)
        for line in lines:
            row = line.split()
            if lines.faults:
                yield Scanned(lines.number, row, lines.taken_faults())
            elif row:
                yield Scanned(lines.number, row)
        if lines.faults:
            yield Scanned(lines.number, [], lines.taken_faults())


def _wrong_number(line: int, row: list[str], columns: tuple[str, ...]) -> Scanned:
    return faulty(
        line,
        f"expected {len(columns)} fields ({', '.join(columns)}), found {len(row)}: {shown(' '.join(row))}",
    )


def write_qrels(
    path: str | os.PathLike[str], judgements: Iterable[Judgement], layout: Literal["trec", "beir"] = "trec"
) -> int:
    """Writes judgements as they come; the file appears when it is complete.

    Args:
        path: the file; `.gz` packs.
        judgements: any number.
        layout: TREC's four columns, or BEIR's three under a header.

    Returns:
        The number of judgements.

    Raises:
        ValueError: for an id that is empty or holds white space, or another layout.
    """
    if layout not in ("trec", "beir"):
        raise ValueError(f"layout: expected 'trec' or 'beir', got {layout!r}")
    if layout == "trec":
        return _write(
            path, "", " ", ((j.question_id, "0", j.passage_id, str(j.relevance)) for j in judgements)
        )
    return _write(path, "\t".join(BEIR_HEADER) + "\n", "\t", (map(str, j) for j in judgements))


def write_run(path: str | os.PathLike[str], lines: Iterable[RunLine]) -> int:
    """Writes what a system found as it comes; the file appears when it is complete.

    Returns:
        The number of lines.

    Raises:
        ValueError: for an id or tag that is empty or holds white space.
    """
    rows = (
        (line.question_id, "Q0", line.passage_id, str(line.rank), str(float(line.score)), line.tag)
        for line in lines
    )
    return _write(path, "", " ", rows)


def _write(path: str | os.PathLike[str], header: str, between: str, rows: Iterable[Iterable[str]]) -> int:
    count = 0
    with written_text(path) as file:
        file.write(header)
        for count, row in enumerate(rows, start=1):
            fields = tuple(row)
            for field in fields:
                if len(field.split()) != 1 or field.split()[0] != field:
                    raise ValueError(
                        f"record {count}: {field!r} is empty or holds white space, which separates the fields"
                    )
            file.write(between.join(fields) + "\n")
    return count
