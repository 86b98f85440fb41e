"""Passage collections: DPR's TSV files with the header `id`, `text`, `title`, and JSON with these keys."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dpr_tf.data.faults import Scan, Scanned, faulty, shown, sound
from dpr_tf.data.fields import Fields
from dpr_tf.data.files import unpacked_suffix
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
            names = [field.strip().lower() for field in row.value]
            if "id" in names or "text" in names:
                columns = names
                if not {"id", "text"} <= set(names) or len(set(names)) < len(names):
                    yield _wrong_header(row.line, names)
                    return
                continue
            columns = list(_COLUMNS)
        yield _from_row(row.line, columns, row.value)


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
