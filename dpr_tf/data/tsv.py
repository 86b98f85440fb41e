"""Tab-separated files with CSV quoting, plain or gzip, as a stream of rows that know their line."""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Iterator
from typing import BinaryIO

_MAX_FIELD = 2**24  # characters; csv's own limit of 131,072 refuses long texts


def read_rows(path: str | os.PathLike[str]) -> Iterator[tuple[int, list[str]]]:
    """Streams the rows of a file: memory does not grow with the file.

    Args:
        path: a UTF-8 file, with or without byte order mark; gzip is recognised by its first bytes.

    Yields:
        The number of the row's first line (from 1) and its fields. Empty lines are left out.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for broken quoting, bytes that are not UTF-8, or a damaged gzip stream, with the line.
    """
    csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD))
    with open(path, "rb") as raw:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=raw) if packed else raw
        rows = csv.reader(_decoded(path, stream), delimiter="\t", strict=True)
        line = 1
        try:
            for row in rows:
                if row:
                    yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {line}: {error}. A field that starts with a quote must end with one, and "
                'quotes inside it are doubled: "He said ""yes"""'
            ) from error


def _decoded(path: str | os.PathLike[str], stream: BinaryIO | gzip.GzipFile) -> Iterator[str]:
    """Lines as text. Decoding line by line keeps the number of a broken one."""
    number = 0
    try:
        for number, line in enumerate(stream, start=1):
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path}, line {number}: byte {error.object[error.start]:#04x} is not UTF-8; "
            "convert the file to UTF-8"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path}, after line {number}: the gzip stream is damaged or cut short ({error})"
        ) from error
