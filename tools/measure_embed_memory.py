"""Measures the peak memory of embedding a collection, and of building an exact index of it.

    python tools/measure_embed_memory.py [--passages 200000] [--hidden-size 16]

Writes a synthetic collection of 100-word passages and a small random encoder whose vectors are 768 wide.
Embeds once one passage and once the whole collection, each in a process of its own, and prints both peaks of
resident memory: what lies between them is what the collection costs. Linux.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dpr_tf.answering import sample_folder
from dpr_tf.data import Passage, read_passages, write_passages


def write_encoder(folder: Path, hidden_size: int) -> None:
    """A random encoder of one block, for the sample's vocabulary."""
    from dpr_tf import DPRConfig, DPRContextEncoderTokenizerFast, TFDPRContextEncoder

    tokenizer = DPRContextEncoderTokenizerFast.from_pretrained(str(sample_folder() / "context_encoder"))
    config = DPRConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden_size,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        projection_dim=768,
    )
    TFDPRContextEncoder(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def write_collection(path: Path, count: int) -> None:
    """Passages of 100 words that the sample has."""
    chosen = random.Random(1)
    words = " ".join(passage.text for passage in read_passages(sample_folder() / "passages.tsv")).split()
    texts = [" ".join(chosen.choices(words, k=100)) for _ in range(1_000)]
    write_passages(path, (Passage(f"p{row}", "", chosen.choice(texts)) for row in range(count)))


def peak() -> int:
    """Largest resident size of this process so far, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure(verb: str, *arguments: str) -> None:
    """Runs a verb in this process and prints its peak."""
    from dpr_tf.retrieval.building import build_index
    from dpr_tf.retrieval.store import embed

    started = time.monotonic()
    if verb == "embed":
        result: object = embed(*arguments, max_length=64, progress=False)  # type: ignore[arg-type]
    else:
        result = build_index(*arguments, progress=False)  # type: ignore[arg-type]
    print(f"{verb}: {result}: peak {peak() / 1e6:,.0f} MB, {time.monotonic() - started:.0f} s", flush=True)


def main(arguments: list[str]) -> None:
    """Measures each in a new process."""
    if arguments[:1] == ["--one"]:
        measure(*arguments[1:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--passages", type=int, default=200_000)
    parser.add_argument("--hidden-size", type=int, default=16)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_encoder(folder / "encoder", options.hidden_size)
        for size in (1, options.passages):
            write_collection(folder / "passages.tsv", size)
            vectors, index = str(folder / f"vectors{size}"), str(folder / f"index{size}")
            for run in (
                ("embed", str(folder / "passages.tsv"), str(folder / "encoder"), vectors),
                ("index", vectors, index),
            ):
                subprocess.run([sys.executable, __file__, "--one", *run], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
