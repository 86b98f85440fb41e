"""Cutting a collection into shards: what an edit changes, and what it leaves in place."""

import numpy as np
import pytest

from dpr_tf.data import Passage
from dpr_tf.retrieval.cutting import cut, fingerprint, plan


def collection(count, prefix=""):
    return [Passage(f"{prefix}{number}", f"t{number}", f"text {number}") for number in range(count)]


PASSAGES = collection(3_000)


def names(passages):
    return [shard.name for shard in cut(passages, 50)]


def test_shards_are_the_collection_in_order_and_of_about_the_size():
    shards = list(cut(PASSAGES, 50))
    assert [passage for shard in shards for passage in shard.passages] == PASSAGES
    sizes = [len(shard.passages) for shard in shards]
    assert min(sizes[:-1]) >= 25
    assert max(sizes) <= 100
    assert 40 <= np.mean(sizes) <= 60
    assert [(shard.name, len(shard.passages)) for shard in shards] == plan(PASSAGES, 50)
    assert len(set(names(PASSAGES))) == len(shards)


@pytest.mark.parametrize("place", [0, 1_234, 2_999])
def test_an_edit_changes_one_shard(place):
    edited = [*PASSAGES]
    edited[place] = edited[place]._replace(text="another text")
    before, after = names(PASSAGES), names(edited)
    assert len(after) == len(before)
    assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


@pytest.mark.parametrize("place", [0, 777, 1_234, 2_000])
@pytest.mark.parametrize(
    "change", [lambda head, tail: [*head, Passage("new", "", "x"), *tail], lambda head, tail: head + tail[1:]]
)
def test_an_insertion_or_removal_changes_few_shards(place, change):
    after = names(change(PASSAGES[:place], PASSAGES[place:]))
    # Boundaries meet again at the first one that both find; with shards of fixed length all would differ.
    assert len(set(after) - set(names(PASSAGES))) <= 5


def test_appending_changes_the_last_shard_only():
    before, after = names(PASSAGES), names(PASSAGES + collection(200, "more"))
    assert before[:-1] == after[: len(before) - 1]


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (100, [5])])
def test_smallest_size_and_short_collections(size, sizes):
    assert [len(shard.passages) for shard in cut(PASSAGES[:5], size)] == sizes
    assert list(cut([], size)) == []


def test_fingerprint_tells_fields_apart():
    told = {
        fingerprint([Passage("1", "a", "b")]),
        fingerprint([Passage("1", "", "ab")]),
        fingerprint([Passage("1", "ab", "")]),
        fingerprint([Passage("1a", "", "b")]),
        fingerprint([Passage("1", 'a", "b', "")]),
        fingerprint([Passage("1", "a", "b"), Passage("2", "c", "d")]),
        fingerprint([Passage("2", "c", "d"), Passage("1", "a", "b")]),
        fingerprint([Passage("\ud800", "", "half of a character")]),
    }
    assert len(told) == 8


def test_refuses_an_id_that_is_given_twice():
    with pytest.raises(ValueError, match="passage 3,001 of the collection has an id that an earlier one has"):
        plan([*PASSAGES, PASSAGES[7]], 50)
