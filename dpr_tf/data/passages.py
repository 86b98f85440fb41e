"""Passage collections in DPR's format: a TSV file with the header `id`, `text`, `title`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NamedTuple

from dpr_tf.data.tsv import read_rows

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
    """Streams the passages of a TSV file with CSV quoting, plain or gzip.

    The first row names the columns, in any order; `title` may be missing. Without a header (no field of the
    first row is `id` or `text`) the columns are id, text, title, as in DPR's `psgs_w100.tsv`.

    Args:
        path: the file.

    Yields:
        The passages in the order of the file, titles and texts without surrounding white space.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: for a header without `id` or `text`, a row with another number of fields, or one without
            id or text; with the line.
    """
    columns: list[str] | None = None
    for line, row in read_rows(path):
        if columns is None:
            names = [field.strip().lower() for field in row]
            if "id" in names or "text" in names:
                columns = _header(path, line, names)
                continue
            columns = list(_COLUMNS)
        yield _passage(path, line, columns, row)


def _header(path: str | os.PathLike[str], line: int, names: list[str]) -> list[str]:
    if not {"id", "text"} <= set(names) or len(set(names)) < len(names):
        raise ValueError(
            f"{path}, line {line}: the header is {names}; expected {', '.join(_COLUMNS)}, "
            "separated by tabs, each once"
        )
    return names


def _passage(path: str | os.PathLike[str], line: int, columns: list[str], row: list[str]) -> Passage:
    if len(row) != len(columns):
        raise ValueError(
            f"{path}, line {line}: expected {len(columns)} fields ({', '.join(columns)}), separated by tabs, "
            f"found {len(row)}: {_shortened(row)}"
        )
    fields = dict(zip(columns, row, strict=True))
    passage = Passage(fields["id"].strip(), fields.get("title", "").strip(), fields["text"].strip())
    for name in ("id", "text"):
        if not getattr(passage, name):
            raise ValueError(f"{path}, line {line}: the {name} is empty; remove the row, or fill it in")
    return passage


def _shortened(row: list[str]) -> str:
    text = " | ".join(row)
    return text if len(text) <= 60 else text[:57] + "..."
