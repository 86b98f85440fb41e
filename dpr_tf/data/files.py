"""Files of any size as streams, plain or gzip; and files that are written aside and renamed when complete."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from dpr_tf.data.faults import Fault

LONGEST_LINE = 2**26  # bytes; what is longer is no line of a text, and would be held in memory whole
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)
_GZIP = b"\x1f\x8b"


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether a file is gzip, by its first bytes."""
    with open(path, "rb") as raw:
        return raw.read(2) == _GZIP


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file for reading bytes; gzip, recognised by its first bytes, is unpacked on the way.

    Raises:
        OSError: if it cannot be opened, or is a pipe: what a file holds is looked up before it is read.
    """
    with open(path, "rb") as raw:
        if not raw.seekable():
            raise OSError(errno.ESPIPE, "a pipe can be read only once; write it to a file first", str(path))
        packed = raw.peek(2)[:2] == _GZIP
        yield cast(BinaryIO, io.BufferedReader(gzip.GzipFile(fileobj=raw))) if packed else raw


@contextlib.contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file for writing bytes, under another name until the block has ended without an error.

    Whoever reads `path` sees the old file, if there was one, or the whole new one. A name that ends in
    `.gz` is packed, to the same bytes for the same content.
    """
    target = Path(path)
    aside = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        with open(aside, "wb") as raw:
            if target.suffix == ".gz":
                with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=raw, mtime=0) as packed:
                    yield cast(BinaryIO, packed)
            else:
                yield raw
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def written_text(path: str | os.PathLike[str]) -> Iterator[TextIO]:
    """`written` for UTF-8 text; lines end as they are given."""
    with written(path) as binary:
        text = io.TextIOWrapper(binary, encoding="utf-8", newline="")
        yield text
        text.flush()
        text.detach()


def unpacked_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix in lower case, without `.gz`: `.tsv` for `passages.TSV.gz`."""
    return Path(os.fspath(path).lower().removesuffix(".gz")).suffix


class Lines:
    """The lines of a UTF-8 file as text, with their ends, and what is wrong with them.

    Args:
        stream: bytes, from the start of a file.

    Attributes:
        number: of the line that was read last, from 1.
        faults: bytes that are not UTF-8, a damaged gzip stream, an endless line. The reader takes them from
            the list; text goes on behind the first kind.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.number = 0
        self.faults: list[Fault] = []

    def __iter__(self) -> Iterator[str]:
        while line := self._next():
            self.number += 1
            if len(line) >= LONGEST_LINE:
                self._note(f"longer than {LONGEST_LINE:,} bytes: this is no file of lines")
                return
            yield self._decoded(line)

    def _next(self) -> bytes:
        try:
            return self._stream.readline(LONGEST_LINE)
        except DAMAGED as error:
            self.number = max(self.number, 1)
            self._note(damaged(error))
            return b""

    def _decoded(self, line: bytes) -> str:
        encoding = "utf-8-sig" if self.number == 1 else "utf-8"
        try:
            return line.decode(encoding)
        except UnicodeDecodeError as error:
            self._note(not_utf8(error))
            return line.decode(encoding, "replace")

    def _note(self, message: str) -> None:
        self.faults.append(Fault(self.number, "", message))

    def taken_faults(self) -> tuple[Fault, ...]:
        """The faults since the last call."""
        faults = tuple(self.faults)
        self.faults.clear()
        return faults


def damaged(error: Exception) -> str:
    """What to say about a gzip stream that cannot be unpacked to its end."""
    return f"behind this line the gzip stream is damaged or cut short ({error}); fetch the file again"


def not_utf8(error: UnicodeDecodeError) -> str:
    """What to say about bytes that are not UTF-8."""
    return f"byte {error.object[error.start]:#04x} is not UTF-8; convert the file to UTF-8"
