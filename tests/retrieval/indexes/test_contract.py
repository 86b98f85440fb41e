"""What holds for every index: ids, origins, removal and replacement."""

import numpy as np
import pytest

from dpr_tf.retrieval.indexes import ExactIndex, Index, Origin, ids
from dpr_tf.retrieval.indexes.ids import Ids

ONES = np.ones((2, 3), np.float32)


def test_the_contract_is_no_index():
    with pytest.raises(TypeError, match="abstract"):
        Index(3)


def test_rows_are_for_good_and_ids_can_be_given_again():
    index = ExactIndex(3)
    index.add(np.eye(3, dtype=np.float32), ["a", "b", "c"])
    index.remove(["b"])
    index.add(np.full((1, 3), 5, np.float32), ["b"])
    assert index.rows(["c", "b", "a"]).tolist() == [2, 3, 0]
    assert index.search(np.ones((1, 3), np.float32), k=4)[1].tolist() == [[3, 0, 2, -1]]
    assert (list(index.ids), len(index)) == (["a", "b", "c", "b"], 3)
    index.remove(["b"])
    with pytest.raises(KeyError, match="1 of 2 ids are not in the index, the first is 'b'"):
        index.remove(["a", "b"])
    assert len(index) == 2  # "a" was not removed either


def test_ids_default_to_rows():
    index = ExactIndex(3)
    index.add(ONES)
    index.add(ONES)
    assert index.ids[1:] == ["1", "2", "3"]
    assert index.ids[-1] == "3"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["a"], "expected an id for each of 2 vectors, got 1 ids"),
        (["a", "a"], "the id 'a' is given twice"),
        (["a", "0"], "the id '0' is in the index already; remove it first"),
    ],
)
def test_refuses_ids_that_are_not_unique(given, message):
    index = ExactIndex(3)
    index.add(ONES)
    with pytest.raises(ValueError, match=message):
        index.add(ONES, given)
    assert len(index) == len(index.ids) == 2


@pytest.mark.parametrize(
    ("own", "others"),
    [
        (Origin("m1", "zeros"), Origin("m2", "zeros")),
        (Origin("m1", "zeros"), Origin("m1", "tokenizer")),
        (Origin("m1", "zeros"), None),
        (None, Origin("m1", "zeros")),
    ],
)
def test_refuses_vectors_of_another_model_or_convention(own, others):
    index = ExactIndex(3, own)
    index.add(ONES, origin=own)
    with pytest.raises(ValueError, match=r"these are of .*; embed the passages with the same model"):
        index.add(ONES, ["x", "y"], origin=others)
    assert len(index) == 2


def test_remembers_what_was_embedded():
    index = ExactIndex(3)
    for data, names in (("d1", "ab"), ("d2", "cd"), ("d1", "ef")):
        index.add(ONES, list(names), data=data)
    assert index.data == ["d1", "d2"]


def test_a_single_str_is_no_list_of_ids():
    with pytest.raises(TypeError, match=r"\['12'\]"):
        ExactIndex(3).remove("12")


def test_many_small_additions_find_their_ids(monkeypatch):
    monkeypatch.setattr(ids, "_RECENT", 5)  # ids move from the dict to the sorted hashes again and again
    live, stored, twin = np.ones(0, bool), Ids(), {}
    random = np.random.default_rng(3)
    for step in range(60):
        names = [f"{step}-{number}é" for number in range(random.integers(0, 4))]
        twin.update({name: len(twin) + place for place, name in enumerate(names)})
        stored.extend(names)
        live = np.ones(len(stored), bool)
        asked = [*random.permutation(list(twin))[:3].tolist(), "nobody"] if twin else ["nobody"]
        assert stored.rows_of(asked, live).tolist() == [twin.get(name, -1) for name in asked]
    assert list(stored) == list(twin)
    copy = Ids(*stored.arrays())
    assert copy.rows_of(list(twin), live).tolist() == list(range(len(twin)))


def test_ids_with_one_hash_are_told_apart(monkeypatch):
    monkeypatch.setattr(ids, "hash", lambda one: 7, raising=False)
    copy = Ids(*_arrays(["a", "b", "c"]))
    assert copy.rows_of(["c", "a", "d"], np.ones(3, bool)).tolist() == [2, 0, -1]


def _arrays(names):
    stored = Ids()
    stored.extend(names)
    return stored.arrays()


@pytest.mark.parametrize("ends", [[2, 1, 3], [1, 2], [1, 2, 4], []])
def test_refuses_ends_that_do_not_divide_the_ids(ends):
    with pytest.raises(ValueError, match="do not divide"):
        Ids(np.frombuffer(b"abc", np.uint8), np.array(ends, np.int64))
