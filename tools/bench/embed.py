"""A collection from file to vectors on disk, beside the bare encoder on the same ids in sorted batches."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
from engines import encode

UNIT = "passages"
OPTIONS = {"layers": 12, "passages": 1000, "batch_size": 32}


def embedding(folder: Path) -> Callable[[], dict[str, Any]]:
    """`dpr-tf embed` without loading the model: tokenizing, encoding, hashing, writing."""
    from unittest.mock import patch

    from dpr_tf.checkpoints import load_checkpoint
    from dpr_tf.retrieval import store

    loaded = load_checkpoint("context_encoder", str(folder / "model"))
    options = engines.read_options(folder)

    def run() -> dict[str, Any]:
        shutil.rmtree(folder / "vectors", ignore_errors=True)
        with patch.object(store, "load_checkpoint", return_value=loaded):
            start = time.perf_counter()
            store.embed(
                folder / "passages.tsv",
                str(folder / "model"),
                folder / "vectors",
                batch_size=options["batch_size"],
                progress=False,
            )
        return {"items": options["passages"], "seconds": [time.perf_counter() - start]}

    return run


ENGINES = {"embed": ("ours", embedding), "bare encoder": ("ours", encode(engines.ours_ahead, ahead=True))}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the model, and the sample's passages, over and over, as a file and as ids."""
    from dpr_tf import DPRContextEncoderTokenizerFast, read_passages, sample_folder

    engines.write_model(folder, options)
    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(folder / "model")
    passages = list(read_passages(sample_folder() / "passages.tsv"))
    passages = [passages[number % len(passages)] for number in range(options["passages"])]
    lines = [f"{number}\t{passage.text}\t{passage.title}" for number, passage in enumerate(passages)]
    (folder / "passages.tsv").write_text("\n".join(["id\ttext\ttitle", *lines]) + "\n")
    rows = tokenizer([passage.title for passage in passages], [passage.text for passage in passages])
    engines.write_rows(folder, rows["input_ids"])
