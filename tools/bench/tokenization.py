"""Passages to ids, type ids and masks as lists: the passages of the bundled sample, over and over."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

UNIT = "passages"
OPTIONS = {"passages": 8000}


def timed(make: Callable[[Path], Callable[[list[str], list[str]], list[list[int]]]]) -> Callable:
    """An engine of this case: `make` gives what turns titles and texts into ids."""

    def prepare(folder: Path) -> Callable[[], dict[str, Any]]:
        encode = make(folder)
        titles, texts = json.loads((folder / "texts.json").read_text())

        def run() -> dict[str, Any]:
            start = time.perf_counter()
            ids = encode(titles, texts)
            return {
                "items": len(texts),
                "seconds": [time.perf_counter() - start],
                "check": [float(sum(map(sum, ids)))],
            }

        return run

    return prepare


def ours(folder: Path) -> Callable:
    """`DPRContextEncoderTokenizerFast`."""
    from dpr_tf import DPRContextEncoderTokenizerFast

    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(folder / "tokenizer")
    return lambda titles, texts: tokenizer(titles, texts, truncation=True, max_length=256)["input_ids"]


def bare(folder: Path) -> Callable:
    """The library `tokenizers`, with the lists that the others give."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer" / "tokenizer.json"))
    tokenizer.enable_truncation(256)

    def encode(titles: list[str], texts: list[str]) -> list[list[int]]:
        encodings = tokenizer.encode_batch(list(zip(titles, texts, strict=True)))
        columns = [(e.ids, e.type_ids, e.attention_mask) for e in encodings]
        return [ids for ids, _, _ in columns]

    return encode


def transformers(folder: Path) -> Callable:
    """Transformers v5."""
    from transformers import BertTokenizer

    tokenizer = BertTokenizer.from_pretrained(folder / "tokenizer")
    return lambda titles, texts: tokenizer(titles, texts, truncation=True, max_length=256)["input_ids"]


ENGINES = {
    "dpr_tf": ("ours", timed(ours)),
    "tokenizers": ("ours", timed(bare)),
    "transformers5": ("peers", timed(transformers)),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes texts and tokenizer."""
    from dpr_tf import DPRContextEncoderTokenizerFast, read_passages, sample_folder

    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(sample_folder() / "context_encoder")
    tokenizer.save_pretrained(folder / "tokenizer")
    passages = list(read_passages(sample_folder() / "passages.tsv"))
    passages = [passages[number % len(passages)] for number in range(options["passages"])]
    columns = [passage.title for passage in passages], [passage.text for passage in passages]
    (folder / "texts.json").write_text(json.dumps(columns))
