"""A passage collection and a checkpoint to a store of vectors, in files from end to end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple

from tqdm import tqdm

from dpr_tf.checkpoints import check_precision, load_checkpoint
from dpr_tf.data.passages import Passage, read_passages
from dpr_tf.retrieval.cutting import PassageShard, Planned, cut, plan
from dpr_tf.retrieval.embed import TOKEN_TYPES, Embedder, Text, passage_text
from dpr_tf.retrieval.fingerprints import model_fingerprint, tokenizer_fingerprint
from dpr_tf.retrieval.progress import progress_bar
from dpr_tf.retrieval.shards import DTYPES, VectorStore, begin, finish, is_there, write_shard

__all__ = ["Embedded", "VectorStore", "embed"]


class Embedded(NamedTuple):
    """What `embed` did.

    Attributes:
        passages: in the collection.
        embedded: of these, in this run.
        kept: of these, because their vectors were there.
        missing: of these, those that other workers have not finished; 0 if the store is complete.
        shards: files of vectors that the collection has.
    """

    passages: int
    embedded: int
    kept: int
    missing: int
    shards: int

    def __str__(self) -> str:
        told = f"{self.passages:,} passages in {self.shards:,} shards: {self.embedded:,} embedded"
        told += f", {self.kept:,} kept" if self.kept else ""
        return told + (f"; other workers have {self.missing:,} to finish" if self.missing else "")


def embed(
    passages: str | os.PathLike[str],
    checkpoint: str,
    output: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    max_length: int = 256,
    token_types: Literal["zeros", "tokenizer"] = "zeros",
    precision: Literal["float32", "bfloat16", "int8"] = "float32",
    dtype: Literal["float32", "float16"] = "float32",
    shard_size: int = 16_384,
    worker: int = 0,
    workers: int = 1,
    progress: bool = True,
) -> Embedded:
    """Embeds a passage collection into a folder of vectors; memory does not grow with the collection.

    On processors with AVX-512, in float32 and bfloat16, the model's weights take their memory twice: as they
    were loaded, and in the order in which they are multiplied; those of queries, keys and values three times.

    If the process is killed, the next run with the same arguments goes on behind the last shard that was
    written, to the same bytes. If passages were edited, added or removed, only their shards are embedded
    anew; until that is done, the folder holds the vectors of before. In Python, `VectorStore.open` reads it.

    Args:
        passages: file of the collection, TSV or JSON, plain or gzip.
        checkpoint: folder or Hub id of the context encoder.
        output: folder for the vectors; made if absent.
        batch_size: passages per forward pass.
        max_length: tokens per passage; longer ones are cut.
        token_types: "zeros", as DPR was trained; or "tokenizer", 0 for the title and 1 for the text, as
            Hugging Face's tokenizers give them. Take what the checkpoint was trained with.
        precision: what the model computes in. bfloat16 is faster where the processor has instructions for it
            (AVX-512 BF16, AMX, a GPU). int8 computes products with weights in bytes, on x86 processors:
            faster than float32 for models of BERT's size, at a small cost in quality. Questions may be
            encoded in another precision.
        dtype: of the vectors on disk.
        shard_size: passages per shard, on average about; what a kill or an edit costs at most is twice that.
        worker: the number of this process among `workers`, from 0.
        workers: number of processes, on any machines that share the folder, that embed the collection
            together. Each takes every `workers`-th shard; the last to finish completes the store.
        progress: whether to show progress bars on stderr.

    Returns:
        What was done.

    Raises:
        OSError: if a file cannot be read or written, or the checkpoint is not found.
        ValueError: if the collection is empty, malformed or changed meanwhile, an id is given twice, the
            folder holds vectors made with other settings, or an argument is out of its range.
    """
    check_precision(precision, ("float32", "bfloat16", "int8"))
    _check(batch_size, max_length, token_types, dtype, shard_size, worker, workers)
    shards = _planned(passages, shard_size, progress)
    model, tokenizer = load_checkpoint("context_encoder", checkpoint, precision=precision)
    with ThreadPoolExecutor(1) as beside:  # compiling takes one core
        fingerprint = beside.submit(model_fingerprint, model)
        embedder = Embedder(model, tokenizer, max_length, token_types, weights_stay=True)
    settings = {
        "model": fingerprint.result(),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "token_types": token_types,
        "max_length": embedder.max_length,
        "dtype": dtype,
        "dim": embedder.dim,
        "shard_size": shard_size,
    }
    folder = Path(output)
    begin(folder, settings)
    there = {shard.name for shard in shards if is_there(folder, shard)}
    mine = {shard.name: shard.rows for shard in shards[worker::workers] if shard.name not in there}
    with progress_bar("Embedding passages", sum(mine.values()), progress) as bar:
        groups = _groups(passages, shards, shard_size, set(mine))
        for shard, vectors in embedder.embed_groups(groups, batch_size, bar):
            write_shard(folder, shard.name, [passage.id for passage in shard.passages], vectors, dtype)
    missing = sum(shard.rows for shard in shards if not is_there(folder, shard))
    if not missing:
        finish(folder, settings, shards)
    return Embedded(
        passages=sum(shard.rows for shard in shards),
        embedded=sum(mine.values()),
        kept=sum(shard.rows for shard in shards if shard.name in there),
        missing=missing,
        shards=len(shards),
    )


def _check(
    batch_size: int,
    max_length: int,
    token_types: str,
    dtype: str,
    shard_size: int,
    worker: int,
    workers: int,
) -> None:
    """Finds mistakes in the arguments before minutes are spent on the collection."""
    for name, number in {
        "batch_size": batch_size,
        "max_length": max_length,
        "shard_size": shard_size,
        "workers": workers,
    }.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    for name, value, known in (("token_types", token_types, TOKEN_TYPES), ("dtype", dtype, DTYPES)):
        if value not in known:
            raise ValueError(f"{name}={value!r}: expected one of {', '.join(map(repr, known))}")
    if not 0 <= worker < workers:
        raise ValueError(f"worker={worker}: of {workers} workers the numbers are 0 to {workers - 1}")


def _planned(passages: str | os.PathLike[str], shard_size: int, progress: bool) -> list[Planned]:
    with open(passages, "rb"), progress_bar("Reading passages", shown=progress) as bar:  # no bar for no file
        shards = plan(_counted(read_passages(passages), bar), shard_size)
    if not shards:
        raise ValueError(f"{os.fspath(passages)}: there are no passages to embed")
    return shards


def _counted(passages: Iterator[Passage], bar: tqdm) -> Iterator[Passage]:
    for passage in passages:
        bar.update()
        yield passage


def _groups(
    passages: str | os.PathLike[str], shards: Sequence[Planned], shard_size: int, wanted: set[str]
) -> Iterator[tuple[PassageShard, list[Text]]]:
    """The wanted shards and their texts, while the collection is still as it was planned."""
    if not wanted:
        return
    found: Any = cut(read_passages(passages), shard_size)
    for planned, shard in zip(shards, found, strict=False):
        if shard.name != planned.name:
            break
        if shard.name in wanted:
            wanted.discard(shard.name)
            yield shard, [passage_text(passage) for passage in shard.passages]
    if wanted:
        raise ValueError(f"{os.fspath(passages)} was changed while it was read; run embed again")
