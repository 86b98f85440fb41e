"""Passage collections: DPR's TSV files with the header `id`, `text`, `title`, and JSON with these keys."""

from __future__ import annotations

import codecs
import csv
import json
import mmap
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dpr_tf.data.faults import FormatError, Scan, Scanned, faulty, shown, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.files import is_packed, unpacked_suffix
from dpr_tf.data.json_items import is_json, scan_records, write_json
from dpr_tf.data.tsv import scan_rows, write_rows

_COLUMNS = ("id", "text", "title")  # the order of DPR's own files, also of files without a header


class Passage(NamedTuple):
    """The unit that is retrieved: a short text, in DPR about 100 words, under the title of its article.

    Attributes:
        id: unique in its collection.
        title: may be empty.
        text: never empty.
    """

    id: str
    title: str
    text: str


def read_passages(path: str | os.PathLike[str]) -> Iterator[Passage]:
    """Streams the passages of a TSV file with CSV quoting or of a JSON file; plain or gzip.

    In a TSV file the first row names the columns, in any order; `title` may be missing. Without a header (no
    field of the first row is `id` or `text`) the columns are id, text, title, as in DPR's `psgs_w100.tsv`.
    In JSON each passage is an object with `id` or `_id` (BEIR's `corpus.jsonl`), `text` and maybe `title`;
    there is one a line, or an array of them.

    Args:
        path: the file; which of the two it is shows in its first character.

    Yields:
        The passages in the order of the file, titles and texts without surrounding white space.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a header without `id` or `text`, a row with another number of fields, or a passage
            without id or text; with the line.
    """
    return sound(path, scan_passages(path))


def scan_passages(path: str | os.PathLike[str]) -> Scan[Passage]:
    """`read_passages`, with the faults in their places."""
    return scan_records(path, _from_json) if is_json(path) else _scan_tsv(path)


def write_passages(path: str | os.PathLike[str], passages: Iterable[Passage]) -> int:
    """Writes passages as they come, aside, and renames the file when it is complete.

    Args:
        path: `.jsonl` or `.json` writes JSON, any other name TSV with the header id, text, title; `.gz`
            behind it packs.
        passages: any number.

    Returns:
        The number of passages.
    """
    if unpacked_suffix(path) in (".jsonl", ".json"):
        return write_json(path, ({name: getattr(p, name) for name in _COLUMNS} for p in passages))
    return write_rows(path, _rows(passages)) - 1


class PassageFile(Sequence[Passage]):
    """The passages of a file by row: millions of them without holding them in memory.

    One pass over the file checks it and finds the places, 8 bytes a passage. A packed file and a JSON array
    have no places that could be gone to: their passages are held in memory.

    Args:
        path: as for `read_passages`; it must stay as it is while this object is used.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no such file; with the line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = path
        self._held: list[Passage] | None = None
        if is_packed(path) or _is_array(path):
            self._held = list(read_passages(path))
            return
        self._columns = None if is_json(path) else _columns_of(path)
        self._places = _places(path)
        with open(path, "rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if self._places else b""

    def __len__(self) -> int:
        """Number of passages."""
        return len(self._places if self._held is None else self._held)

    def __getitem__(self, row: Any) -> Any:
        """The passage of a row, or the list of passages of a slice."""
        if isinstance(row, slice):
            return [self[one] for one in range(*row.indices(len(self)))]
        if self._held is not None:
            return self._held[row]
        row = range(len(self))[row]
        end = self._places[row + 1] if row + 1 < len(self) else len(self._bytes)
        text = self._bytes[self._places[row] : end].decode("utf-8-sig")
        if self._columns is None:
            return _from_json(Fields(json.loads(text), 0))
        lines = (f"{line}\n" for line in text.split("\n"))  # as scan_rows cuts them
        fields = next(csv.reader(lines, delimiter="\t", strict=True))
        return _from_row(0, self._columns, fields).value

    def __iter__(self) -> Iterator[Passage]:
        """The passages in the order of the file."""
        return read_passages(self._path) if self._held is None else iter(self._held)


def _is_array(path: str | os.PathLike[str]) -> bool:
    with open(path, "rb") as file:
        return file.read(4096).removeprefix(codecs.BOM_UTF8).lstrip()[:1] == b"["


def _places(path: str | os.PathLike[str]) -> array[int]:
    """Where in a plain file of lines each passage begins."""
    places, number, place = array("q"), 1, 0
    with open(path, "rb") as lines:
        for scanned in scan_passages(path):
            if scanned.faults:
                raise FormatError(path, scanned.faults[0])
            while number < scanned.line:
                place += len(lines.readline())
                number += 1
            places.append(place)
    return places


def _rows(passages: Iterable[Passage]) -> Iterator[tuple[str, ...]]:
    yield _COLUMNS
    for passage in passages:
        yield passage.id, passage.text, passage.title


def _from_json(fields: Fields) -> Passage:
    return Passage(fields.name("id", "_id"), fields.text("title", default=""), fields.text("text"))


def _scan_tsv(path: str | os.PathLike[str]) -> Scan[Passage]:
    columns: list[str] | None = None
    for row in scan_rows(path):
        if row.faults:
            yield row  # type: ignore[misc]
            continue
        if columns is None:
            columns = _header(row.value)
            if columns is not None:
                if not {"id", "text"} <= set(columns) or len(set(columns)) < len(columns):
                    yield _wrong_header(row.line, columns)
                    return
                continue
            columns = list(_COLUMNS)
        yield _from_row(row.line, columns, row.value)


def _header(row: list[str]) -> list[str] | None:
    """The columns that a file's first row names, if it is a header."""
    names = [field.strip().lower() for field in row]
    return names if "id" in names or "text" in names else None


def _columns_of(path: str | os.PathLike[str]) -> list[str]:
    """The columns of a TSV file."""
    first = next((row.value for row in scan_rows(path) if not row.faults), [])
    return _header(first) or list(_COLUMNS)


def _wrong_header(line: int, names: list[str]) -> Scanned[Passage]:
    return faulty(
        line, f"the header is {names}; expected {', '.join(_COLUMNS)}, separated by tabs, each once"
    )


def _from_row(line: int, columns: list[str], row: list[str]) -> Scanned[Passage]:
    if len(row) != len(columns):
        return faulty(
            line,
            f"expected {len(columns)} fields ({', '.join(columns)}), separated by tabs, "
            f"found {len(row)}: {shown(' | '.join(row))}",
        )
    values = dict(zip(columns, row, strict=True))
    passage = Passage(values["id"].strip(), values.get("title", "").strip(), values["text"].strip())
    if passage.id and passage.text:
        return Scanned(line, passage)
    fields = Fields(values, line)  # notes what is empty
    fields.name("id")
    fields.text("text")
    return fields.scanned(passage)
