"""Tab-separated files with CSV quoting, plain or gzip, as a stream of rows that know their line."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence

from dpr_tf.data.faults import Scan, Scanned, faulty
from dpr_tf.data.files import Lines, opened, written_text

_MAX_FIELD = 2**24  # characters; csv's own limit of 131,072 refuses long texts


def scan_rows(path: str | os.PathLike[str], delimiter: str = "\t") -> Scan[list[str]]:
    """Streams the rows of a file, and the faults in their places: memory does not grow with the file.

    Args:
        path: a UTF-8 file, with or without byte order mark; gzip is recognised by its first bytes.
        delimiter: one character between the fields.

    Yields:
        The number of the row's first line (from 1) and its fields. Empty lines are left out. Faults are
        broken quoting, bytes that are not UTF-8, a damaged gzip stream.

    Raises:
        OSError: if the file cannot be opened or read.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    with opened(path) as stream:
        lines = Lines(stream)
        rows = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line = lines.number + 1
            try:
                row = next(rows, None)
            except csv.Error as error:
                yield (
                    Scanned(line, [], lines.taken_faults()) if lines.faults else faulty(line, _quoting(error))
                )
                continue
            if lines.faults:
                yield Scanned(line, [], lines.taken_faults())
            elif row:
                yield Scanned(line, row)
            if row is None:
                return


def _quoting(error: csv.Error) -> str:
    return (
        f"{error}. A field that starts with a quote must end with one, and "
        'quotes inside it are doubled: "He said ""yes"""'
    )


def write_rows(path: str | os.PathLike[str], rows: Iterable[Sequence[str]]) -> int:
    """Writes rows with as few quotes as reading them back needs; the file appears when it is complete.

    Returns:
        The number of rows.
    """
    count = 0
    with written_text(path) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        quoting = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_ALL)
        for row in rows:
            # Not every Python puts a carriage return in quotes by itself, and outside them it ends a row.
            (quoting if any("\r" in field for field in row) else writer).writerow(row)
            count += 1
    return count
