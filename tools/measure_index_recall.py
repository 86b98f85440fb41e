"""Measures how much of the exact result each kind of index finds, on any vectors.

    python tools/measure_index_recall.py VECTORS QUESTIONS.npy [--k 100]
    python tools/measure_index_recall.py VECTORS --checkpoint QUESTION_ENCODER --questions questions.csv

VECTORS is a folder that `embed` wrote; questions are vectors, float32 [questions, dim], or texts and the
encoder for them. Prints the recall@k of each type against brute-force NumPy in float64, and milliseconds per
question; Milvus, where it is installed, on a file.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from dpr_tf.retrieval import VectorStore, build_index
from dpr_tf.retrieval.indexes import load_index

KINDS: list[tuple[str, dict[str, Any]]] = [
    ("exact", {}),
    ("exact", {"dtype": "float16"}),
    ("exact", {"first_pass": "int8"}),
    ("faiss", {"index_type": "flat"}),
    ("faiss", {"index_type": "fp16"}),
    ("faiss", {"index_type": "sq8"}),
    ("faiss", {"index_type": "sq8", "rescore": 2}),
    ("faiss", {"index_type": "ivf"}),
    ("faiss", {"index_type": "hnsw"}),
    ("faiss", {"index_type": "hnsw", "ef_search": 400}),
    ("faiss", {"index_type": "rabitq"}),
    ("faiss", {"index_type": "rabitq", "rescore": 10}),
    ("milvus", {"index_type": "flat"}),
    ("milvus", {"index_type": "hnsw"}),
]


def brute_force(store: VectorStore, questions: np.ndarray, k: int) -> np.ndarray:
    """Rows of the k largest inner products in float64, equal ones by row: int64 [questions, k]."""
    stored = np.concatenate([shard.vectors for shard in store.shards()]).astype(np.float64)
    found = np.empty((len(questions), k), np.int64)
    for number, question in enumerate(questions.astype(np.float64)):
        products = (stored @ question).astype(np.float32)
        found[number] = np.lexsort((np.arange(len(products)), -products))[:k]
    return found


def recall(found: np.ndarray, expected: np.ndarray) -> float:
    """Share of the expected rows that were found."""
    return float(np.mean([np.isin(b, a).mean() for a, b in zip(found, expected, strict=True)]))


def question_vectors(options: argparse.Namespace) -> np.ndarray:
    """Reads vectors, or embeds texts."""
    if options.vectors_of_questions:
        return np.load(options.vectors_of_questions, allow_pickle=False).astype(np.float32)
    from dpr_tf.checkpoints import load_checkpoint
    from dpr_tf.data import read_questions
    from dpr_tf.retrieval.embed import Embedder

    texts = [question.text for question in itertools.islice(read_questions(options.questions), options.count)]
    return Embedder(*load_checkpoint("question_encoder", options.checkpoint)).embed(texts)


def installed(kind: str) -> bool:
    """Whether a kind's library is there."""
    needed = {"faiss": ["faiss"], "milvus": ["pymilvus", "milvus_lite"]}.get(kind, [])
    return all(importlib.util.find_spec(name) for name in needed)


def measured(options: argparse.Namespace, questions: np.ndarray, folder: Path) -> Iterator[str]:
    """A line for each kind of index."""
    expected = brute_force(VectorStore.open(options.vectors), questions, options.k)
    for number, (kind, given) in enumerate(KINDS):
        if kind not in options.kinds:
            continue
        if not installed(kind):
            yield f"{kind}: not installed"
            continue
        uri = {"uri": str(folder / "recall.db")} if kind == "milvus" else {}
        place, started = folder / str(number), time.perf_counter()
        build_index(options.vectors, place, kind, progress=False, **given, **uri)  # type: ignore[arg-type]
        built = time.perf_counter() - started
        index, started = load_index(place), time.perf_counter()
        _, rows = index.search(questions, options.k)
        milliseconds = 1000 * (time.perf_counter() - started) / len(questions)
        same = ", the same rows in the same order" if (rows == expected).all() else ""
        name = " ".join([kind, *(f"{key}={value}" for key, value in given.items())])
        yield (
            f"{name:36} recall@{options.k} {recall(rows, expected):.4f}, {milliseconds:6.2f} ms a question, "
            f"built in {built:.1f} s{same}"
        )


def main() -> None:
    """Prints a line for each kind of index."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("vectors", help="folder that embed wrote")
    parser.add_argument("vectors_of_questions", nargs="?", help=".npy, float32 [questions, dim]")
    parser.add_argument("--questions", help="texts, as for dpr_tf.data.read_questions")
    parser.add_argument("--checkpoint", help="question encoder")
    parser.add_argument("--count", type=int, default=1_000, help="of the texts")
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--kinds", nargs="+", default=["exact", "faiss", "milvus"])
    options = parser.parse_args()
    questions = question_vectors(options)
    store = VectorStore.open(options.vectors)
    print(f"{len(questions):,} questions, {len(store):,} vectors of {store.dim} numbers")
    with tempfile.TemporaryDirectory() as folder:
        for line in measured(options, questions, Path(folder)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
