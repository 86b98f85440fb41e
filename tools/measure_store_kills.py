"""Kills embedding and index building with SIGKILL at random moments, and compares what comes of it.

    python tools/measure_store_kills.py [--kills 20] [--seed 1]

Embeds 3,000 synthetic passages with the bundled sample's context encoder once undisturbed. Then starts it
again and again for another folder, kills each run after a random time, reads what is there, and at last lets
it finish: the files must be the same, byte for byte. Likewise an exact index is built over an older one,
killed, and must be the whole old or the whole new one each time. Linux, macOS.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dpr_tf.models.dpr  # noqa: F401 - imports TensorFlow once, before the process is copied
from dpr_tf.answering import sample_folder
from dpr_tf.data import Passage, read_passages, write_passages
from dpr_tf.retrieval import VectorStore, build_index
from dpr_tf.retrieval.indexes import load_index
from dpr_tf.retrieval.store import embed

ENCODER = str(sample_folder() / "context_encoder")


def write_collection(path: Path, count: int, chosen: random.Random) -> Path:
    """Passages of words that the sample has."""
    words = " ".join(passage.text for passage in read_passages(sample_folder() / "passages.tsv")).split()
    write_passages(
        path,
        (
            Passage(str(row), "", " ".join(chosen.choices(words, k=chosen.randint(5, 40))))
            for row in range(count)
        ),
    )
    return path


def in_child(work: Callable[[], object], seconds: float | None = None) -> tuple[bool, float]:
    """Runs something in a copy of this process, at most for a time; whether it ended, and how long it took.

    This process runs no TensorFlow operation itself: only then a copy of it can.
    """
    started, child = time.monotonic(), os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            work()
            os._exit(0)
        os._exit(1)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if seconds is not None and time.monotonic() - started > seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return False, seconds
        time.sleep(0.001)
    if ended[1]:
        raise SystemExit("a run failed by itself")
    return True, time.monotonic() - started


def content(folder: Path) -> dict[str, bytes]:
    """The files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def measure_embedding(folder: Path, kills: int, chosen: random.Random) -> Path:
    """Prints how the killed runs ended; the folder of vectors."""
    passages = write_collection(folder / "passages.tsv", 3_000, chosen)

    def run(name: str) -> None:
        embed(passages, ENCODER, folder / name, shard_size=60, progress=False)

    _, seconds = in_child(lambda: run("undisturbed"))
    done = incomplete = whole = 0
    for _ in range(kills):
        ended, _ = in_child(lambda: run("killed"), chosen.uniform(0.3, 1) * seconds)
        done += ended
        try:
            VectorStore.open(folder / "killed", verify=True)
            whole += 1
        except FileNotFoundError:
            incomplete += 1
        if ended:  # the next kills shall find work: an edit changes one shard, a removal all files
            for path in (folder / "killed").iterdir():
                path.unlink()
    in_child(lambda: run("killed"))
    same = content(folder / "killed") == content(folder / "undisturbed")
    print(
        f"embedding, {seconds:.1f} s undisturbed: {kills - done} kills; {incomplete} times the store was "
        f"said to be incomplete, {whole} times it was whole; files at last {'equal' if same else 'NOT EQUAL'}"
    )
    return folder / "undisturbed"


def measure_building(folder: Path, vectors: Path, kills: int, chosen: random.Random) -> None:
    """Prints which index was there after each kill."""
    whole = VectorStore.open(vectors).fingerprint
    _, seconds = in_child(lambda: build_index(vectors, folder / "index", progress=False))
    half = folder / "half"
    passages = write_collection(folder / "half.tsv", 500, chosen)
    in_child(lambda: embed(passages, ENCODER, half, shard_size=60, progress=False))
    old, new = whole, VectorStore.open(half).fingerprint
    source, found = {whole: vectors, new: half}, {"old": 0, "new": 0}
    done = 0
    for _ in range(kills):
        ended, _ = in_child(
            lambda: build_index(source[new], folder / "index", progress=False),  # noqa: B023
            chosen.uniform(0, 1.2) * seconds,
        )
        done += ended
        (there,) = load_index(folder / "index").data  # with all checksums
        found["old" if there == old else "new"] += 1
        assert there in (old, new)
        if there == new:
            old, new = new, old
    print(
        f"index, {seconds:.2f} s undisturbed: {kills - done} kills and {done} whole runs, {found['old']} "
        f"times the old index was there, {found['new']} times the new one, always whole"
    )


def main() -> None:
    """Prints a line for each of the two."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chosen = random.Random(options.seed)
        vectors = measure_embedding(Path(folder), options.kills, chosen)
        measure_building(Path(folder), vectors, options.kills, chosen)


if __name__ == "__main__":
    main()
