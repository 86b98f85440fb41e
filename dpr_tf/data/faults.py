"""What is wrong in a file, and where: one record for reading, which stops at the first, and for validating.

Every format is a scan: a stream of records, each with its line, and of faults in the place of records.
Reading raises the first fault, `validate` collects them all; both see the same ones.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
S = TypeVar("S")


class Fault(NamedTuple):
    """Something in a file that is not as its format asks.

    Attributes:
        line: from 1, where the record begins; 0 if the fault is the whole file's or the file has no lines.
        field: the column or key, with its way through nested values: `positive_ctxs[0].text`; or empty.
        message: what was expected, what was found, what to do.
    """

    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = ", ".join(part for part in (f"line {self.line}" if self.line else "", self.field) if part)
        return f"{place}: {self.message}" if place else self.message


class FormatError(ValueError):
    """A file that is not as its format asks.

    Args:
        path: of the file.
        fault: the first one.
    """

    def __init__(self, path: str | os.PathLike[str], fault: Fault) -> None:
        super().__init__(f"{os.fspath(path)}{', ' if fault.line or fault.field else ': '}{fault}")
        self.path = path
        self.fault = fault


@dataclass(slots=True)
class Scanned(Generic[T]):
    """A record as it stands in a file, or what is wrong with it.

    Attributes:
        line: where it begins, from 1; 0 in files without lines.
        value: the record; without meaning if there are faults.
        faults: empty for a sound record.
    """

    line: int
    value: T
    faults: tuple[Fault, ...] = ()


Scan = Generator[Scanned[T], None, None]


def faulty(line: int, message: str, field: str = "") -> Scanned[Any]:
    """A place in a file where a record should be and is not."""
    return Scanned(line, None, (Fault(line, field, message),))


def parsed(rows: Iterable[Scanned[S]], parse: Callable[[int, S], Scanned[T]]) -> Scan[T]:
    """Turns the sound rows of a scan into records, and passes the faults on."""
    for row in rows:
        yield row if row.faults else parse(row.line, row.value)  # type: ignore[misc]


def sound(path: str | os.PathLike[str], scan: Generator[Scanned[T], None, None]) -> Iterator[T]:
    """The records of a scan, up to the first fault.

    The scan is closed at once, and with it its file: whoever keeps the error keeps this frame.

    Raises:
        FormatError: for the first fault.
    """
    with contextlib.closing(scan):
        for scanned in scan:
            if scanned.faults:
                raise FormatError(path, scanned.faults[0])
            yield scanned.value


def shown(value: object, longest: int = 60) -> str:
    """A value for an error message, shortened."""
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= longest else text[: longest - 3] + "..."
