"""DPR's shards of vectors: read without pickle, written without pickle.dump, and compared with both."""

import contextlib
import os
import pickle
import tracemalloc

import numpy as np
import pytest

from dpr_tf.data import read_vectors, write_vectors
from dpr_tf.weights import pickles

RANDOM = np.random.default_rng(0)


def vectors(count, dim=11, dtype="f4"):
    return [(f"wiki:{i}", vector) for i, vector in enumerate(RANDOM.normal(size=(count, dim)).astype(dtype))]


def dump(tmp_path, content, protocol=4):
    path = tmp_path / "shard_0"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def check_same(found, expected):
    for (name, vector), (expected_name, expected_vector) in zip(found, expected, strict=True):
        assert name == expected_name
        assert vector.dtype == np.float32
        np.testing.assert_array_equal(vector, expected_vector.astype("f4"))


@pytest.mark.parametrize("protocol", range(6))
def test_reads_what_pickle_writes(tmp_path, protocol):
    expected = vectors(2050)  # pickle appends a thousand at a time
    check_same(read_vectors(dump(tmp_path, expected, protocol)), expected)


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8"])
def test_reads_every_float_as_float32(tmp_path, dtype):
    expected = vectors(3, dtype=dtype)
    check_same(read_vectors(dump(tmp_path, expected)), expected)


def test_reads_numbers_as_ids_and_lists_for_tuples(tmp_path):
    path = dump(tmp_path, [[7, np.ones(2, "f4")], ("8", np.zeros(2, "f4"))])
    assert [name for name, _ in read_vectors(path)] == ["7", "8"]


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 2050])
def test_pickle_reads_what_is_written(tmp_path, count):
    expected = vectors(count)
    assert write_vectors(tmp_path / "shard_0", iter(expected)) == count
    with open(tmp_path / "shard_0", "rb") as file:
        found = pickle.load(file)
    assert isinstance(found, list)
    assert all(type(item) is tuple for item in found)
    check_same(found, expected)
    for _, vector in found:
        vector += 1  # an array of its own, that can be written to
    check_same(read_vectors(tmp_path / "shard_0"), expected)


@pytest.mark.parametrize("writer", ["write_vectors", "pickle.dump"])
def test_memory_does_not_grow_with_the_shard(tmp_path, writer):
    def peak(count):
        if writer == "pickle.dump":
            dump(tmp_path, vectors(count, dim=256))
        tracemalloc.start()
        if writer == "write_vectors":
            write_vectors(tmp_path / "shard_0", ((str(i), np.full(256, i, "f4")) for i in range(count)))
        assert sum(1 for _ in read_vectors(tmp_path / "shard_0")) == count
        high = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return high

    assert peak(12_000) < peak(4000) * 1.1 + 2**18  # 12 MB of vectors against 4


def test_the_limit_of_a_pickle_counts_for_what_is_appended_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(pickles, "LARGEST_PICKLE", 200_000)
    expected = vectors(5000)  # a thousand take some 120 kB
    check_same(read_vectors(dump(tmp_path, expected)), expected)
    with pytest.raises(ValueError, match="damaged or cut off"):
        list(read_vectors(dump(tmp_path, vectors(1000, dim=100))))


class Hostile:
    def __reduce__(self):
        return os.system, ("touch pwned",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([("1", np.ones(3, "f4")), ("2", np.ones(4, "f4"))], r"\[1\]: a vector of 4 numbers after one of 3"),
        ([("1", np.ones((1, 3), "f4"))], r"\[0\]: expected a vector, found an array of shape \(1, 3\)"),
        ([("1", np.ones(3, "i4"))], r"\[0\]: expected a vector of floats, found i4"),
        ([("1", np.array([1, np.inf], "f4"))], r"\[0\]: a vector with numbers that are infinite"),
        ([("1", np.ones(0, "f4"))], r"\[0\]: expected a vector, found an array of shape \(0,\)"),
        ([("1", [1.0, 2.0])], r"\[0\]: expected a NumPy array, found \[1\.0, 2\.0\]"),
        ([(1.5, np.ones(3, "f4"))], r"\[0\]: expected an id"),
        ([("1", np.ones(3, "f4"), 7)], r"\[0\]: expected \(id, vector\)"),
        ((np.ones((3, 2), "f4"), ["a"]), "expected a list, found tuple"),
        ({"1": np.ones(3, "f4")}, "expected a list, found dict"),
        ([Hostile()], "refused: the pickle names '(posix|nt).system'.*Nothing was run"),
        ([("1", Hostile())], "refused: the pickle names '(posix|nt).system'.*Nothing was run"),
        ([("1", np.array([Hostile()], object))], "refused|expected a vector of floats"),
    ],
)
def test_anything_else_is_a_fault_and_nothing_runs(tmp_path, monkeypatch, content, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        list(read_vectors(dump(tmp_path, content)))
    assert os.listdir(tmp_path) == ["shard_0"]


def test_a_shard_that_is_cut_off_gives_what_is_whole(tmp_path):
    path = dump(tmp_path, vectors(2050))
    path.write_bytes(path.read_bytes()[:-1000])
    found = read_vectors(path)
    with pytest.raises(ValueError, match="damaged or cut off"):
        for count, _ in enumerate(found, start=1):  # noqa: B007 - the last count is what is asserted
            pass
    assert count == 2000


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_ends_in_vectors_or_in_the_one_error(tmp_path, seed):
    source = np.random.default_rng(seed)
    path = dump(tmp_path, vectors(5), protocol=seed % 6)
    content = bytearray(path.read_bytes())
    for position in source.integers(len(content), size=3):
        content[position] = source.integers(256)
    path.write_bytes(content)
    with contextlib.suppress(ValueError):  # and nothing else
        list(read_vectors(path))


def test_vectors_of_different_shapes_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r"passage '2': expected a vector of .* \(3,\), found \(4,\)"):
        write_vectors(tmp_path / "s", [("1", np.ones(3)), ("2", np.ones(4))])
    with pytest.raises(ValueError, match=r"found \(1, 3\)"):
        write_vectors(tmp_path / "s", [("1", np.ones((1, 3)))])
    assert os.listdir(tmp_path) == []
