"""Answer spans from logits: `decode_best_spans` over the passages of one question."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

UNIT = "passages"
OPTIONS = {"passages": 20, "tokens": 350}


def timed(tokenizer: Any, folder: Path, convert: Callable[[np.ndarray], Any]) -> Callable[[], dict[str, Any]]:
    """Decodes all passages, with logits as the reader would give them."""
    with np.load(folder / "logits.npz") as arrays:
        ids = {"input_ids": arrays["ids"].tolist()}
        logits = tuple(convert(arrays[name]) for name in ("start", "end", "relevance"))
    count = len(ids["input_ids"])

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        # As many answers as would make it read every passage.
        spans = tokenizer.decode_best_spans(ids, logits, num_spans=count, num_spans_per_passage=1)
        seconds = time.perf_counter() - start
        check = [float(place) for span in spans for place in (span.doc_id, span.start_index, span.end_index)]
        return {"items": count, "seconds": [seconds], "check": check}

    return run


def ours(folder: Path) -> Callable[[], dict[str, Any]]:
    """On arrays."""
    from dpr_tf import DPRReaderTokenizerFast

    return timed(DPRReaderTokenizerFast.from_pretrained(folder), folder, np.asarray)


def transformers5(folder: Path, tensors: bool) -> Callable[[], dict[str, Any]]:
    """On PyTorch tensors, as its reader gives them, or on arrays."""
    import torch
    from transformers import DPRReaderTokenizerFast

    return timed(
        DPRReaderTokenizerFast.from_pretrained(folder), folder, torch.from_numpy if tensors else np.asarray
    )


ENGINES = {
    "dpr_tf": ("ours", ours),
    "transformers5": ("peers", lambda folder: transformers5(folder, True)),
    "transformers5 on arrays": ("peers", lambda folder: transformers5(folder, False)),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes rows of ids, random logits and the tokenizer."""
    from dpr_tf import DPRReaderTokenizerFast, sample_folder

    tokenizer = DPRReaderTokenizerFast.from_pretrained(sample_folder() / "reader")
    tokenizer.save_pretrained(folder)
    random = np.random.default_rng(1)
    shape = (options["passages"], options["tokens"])
    ids = random.integers(1000, 8000, shape)
    ids[:, 0], ids[:, 12], ids[:, 16], ids[:, -1] = tokenizer.cls_token_id, *[tokenizer.sep_token_id] * 3
    start, end = (random.standard_normal(shape, np.float32) for _ in range(2))
    relevance = random.standard_normal(options["passages"], np.float32)
    np.savez(folder / "logits.npz", ids=ids, start=start, end=end, relevance=relevance)
