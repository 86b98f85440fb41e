"""Cuts a passage collection into shards that an edit leaves in place. Knows passages, no vectors."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dpr_tf.data.distinct import Distinct
from dpr_tf.data.passages import Passage


class PassageShard(NamedTuple):
    """Passages that follow one another in a collection.

    Attributes:
        name: fingerprint of their ids, titles and texts.
        passages: at least one.
    """

    name: str
    passages: list[Passage]


class Planned(NamedTuple):
    """A shard without its passages.

    Attributes:
        name: fingerprint of ids, titles and texts.
        rows: number of passages.
    """

    name: str
    rows: int


def cut(passages: Iterable[Passage], size: int) -> Iterator[PassageShard]:
    """Cuts a stream of passages.

    Where a shard ends, the ids say: behind an id whose hash is a multiple of half the size. So an edited
    text changes its own shard only, and shards behind an inserted or removed passage begin where they did
    before. Shards have half the size at least, but for the last, and twice the size at most.

    Args:
        passages: of the collection, in order.
        size: passages per shard, on average about.

    Yields:
        The shards in order; one at a time is in memory.
    """
    least = max(1, size // 2)
    shard: list[Passage] = []
    for passage in passages:
        shard.append(passage)
        if len(shard) >= 2 * size or (len(shard) >= least and _hash(passage.id) % least == 0):
            yield PassageShard(fingerprint(shard), shard)
            shard = []
    if shard:
        yield PassageShard(fingerprint(shard), shard)


def plan(passages: Iterable[Passage], size: int) -> list[Planned]:
    """Reads a collection from end to end, for what must be known before the first vector is computed.

    Args:
        passages: of the collection, in order.
        size: as for `cut`.

    Returns:
        All shards.

    Raises:
        ValueError: if an id is given twice; memory does not grow with the ids.
    """
    shards, count = [], 0
    with contextlib.closing(Distinct()) as ids:
        for shard in cut(passages, size):
            for place, passage in enumerate(shard.passages, start=count + 1):
                ids.add(passage.id, place)
            count += len(shard.passages)
            shards.append(Planned(shard.name, len(shard.passages)))
        for repeated, _ in ids.repeated():
            raise ValueError(
                f"passage {repeated:,} of the collection has an id that an earlier one has; ids must be "
                "unique. `dpr-tf validate` lists all of them"
            )
    return shards


def fingerprint(passages: Iterable[Passage]) -> str:
    """32 hexadecimal digits that change with any id, title or text, and with their order."""
    digest = hashlib.blake2b(digest_size=16)
    for passage in passages:
        digest.update(json.dumps(passage).encode("ascii"))  # JSON's brackets tell where each field ends
    return digest.hexdigest()


def _hash(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little")
