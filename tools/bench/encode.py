"""Passages a second: batches of similar length, BERT-base, the passages of the bundled sample."""

from __future__ import annotations

from pathlib import Path

from engines import ENGINES, write_batches, write_model

__all__ = ["ENGINES"]

UNIT = "passages"
OPTIONS = {"layers": 12, "passages": 170, "batch_size": 32}


def prepare(folder: Path, options: dict[str, int]) -> None:
    """Writes the model and the passages' ids."""
    from dpr_tf import DPRContextEncoderTokenizerFast, read_passages, sample_folder

    write_model(folder, options["layers"])
    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(sample_folder() / "context_encoder")
    passages = list(read_passages(sample_folder() / "passages.tsv"))[: options["passages"]]
    rows = tokenizer([passage.title for passage in passages], [passage.text for passage in passages])
    write_batches(folder, rows["input_ids"], options["batch_size"])
