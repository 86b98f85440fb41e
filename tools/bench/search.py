"""Exact search: the largest inner products of questions with random vectors of BERT-base's width."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import engines
import numpy as np

UNIT = "questions"
OPTIONS = {"vectors": 1_000_000, "dim": 768, "questions": 64, "k": 100}
CHECKED = 10


def searching(make: Callable[[int], tuple[Callable, Callable]]) -> Callable:
    """An engine of this case: `make` gives what adds vectors, and what finds scores for questions."""

    def prepare(folder: Path) -> Callable[[], dict[str, Any]]:
        options = engines.read_options(folder)
        dim, k = options["dim"], options["k"]
        add, search = make(dim)
        random = np.random.default_rng(1)
        for start in range(0, options["vectors"], 50_000):
            add(random.standard_normal((min(50_000, options["vectors"] - start), dim), np.float32))
        questions = random.standard_normal((options["questions"], dim), np.float32)

        def run() -> dict[str, Any]:
            start = time.perf_counter()
            scores = search(questions, k)
            seconds = time.perf_counter() - start
            return {"items": len(questions), "seconds": [seconds], "check": scores[0, :CHECKED].tolist()}

        return run

    return prepare


def ours(dim: int, first_pass: str | None = None) -> tuple[Callable, Callable]:
    """`ExactIndex`, with or without a first pass in int8; both give the same results."""
    from dpr_tf.retrieval.indexes import ExactIndex

    index = ExactIndex(dim, first_pass=first_pass)
    return index.add, lambda questions, k: index.search(questions, k)[0]


def faiss(dim: int) -> tuple[Callable, Callable]:
    """FAISS Flat."""
    import faiss

    index = faiss.IndexFlatIP(dim)
    return index.add, lambda questions, k: index.search(questions, k)[0]


ENGINES = {
    "dpr_tf": ("ours", searching(ours)),
    "FAISS Flat": ("peers", searching(faiss)),
    "dpr_tf int8": ("ours", searching(lambda dim: ours(dim, "int8"))),
}


def prepare(folder: Path, options: dict[str, Any]) -> None:
    """Writes the options: vectors are made by each engine, the same for all."""
    (folder / "options.json").write_text(json.dumps(options))
