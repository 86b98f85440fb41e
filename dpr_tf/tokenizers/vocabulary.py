"""Reading and writing vocabularies: vocab.txt, one token per line, and the library's tokenizer.json."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

from .contract import Path


def read_json(path: Path) -> dict[str, Any]:
    """The object a JSON file holds.

    Raises:
        json.JSONDecodeError: if the file is damaged; the message names it.
    """
    text = pathlib.Path(path).read_text(encoding="utf-8")
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(
            f"{path} is damaged ({error.msg}); fetch or save it anew", error.doc, error.pos
        ) from error


def read_tokenizer_json(path: Path) -> dict[str, Any]:
    """The content of a tokenizer.json with a WordPiece model.

    Raises:
        json.JSONDecodeError: if the file is damaged.
        ValueError: if it holds another kind of model.
    """
    content = read_json(path)
    model = content.get("model") or {}
    if "vocab" not in model or model.get("type", "WordPiece") != "WordPiece":
        raise ValueError(
            f"{path}: expected a WordPiece model, found {model.get('type')!r}; DPR models use BERT's "
            "WordPiece"
        )
    return content


def read_vocabulary(path: Path) -> dict[str, int]:
    """Token -> id from vocab.txt, where the id is the line number, or from tokenizer.json.

    A token that stands on several lines has the last one's id, as in v4.34.
    """
    if str(path).endswith(".json"):
        return dict(read_tokenizer_json(path)["model"]["vocab"])
    with open(path, encoding="utf-8") as file:
        return {line.rstrip("\n"): index for index, line in enumerate(file)}


def write_vocabulary(
    vocabulary: dict[str, int], save_directory: Path, filename_prefix: str | None = None
) -> str:
    """Writes vocab.txt, tokens in the order of their ids; returns its path.

    Args:
        vocabulary: token -> id.
        save_directory: a folder, or the path of the file itself.
        filename_prefix: put before the file name, with "-" in between.
    """
    path, prefix = str(save_directory), "" if filename_prefix is None else f"{filename_prefix}-"
    path = os.path.join(path, f"{prefix}vocab.txt") if os.path.isdir(path) else prefix + path
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.writelines(f"{token}\n" for token in sorted(vocabulary, key=vocabulary.__getitem__))
    return path
