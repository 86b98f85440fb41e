"""What stands in a file twice: against a dictionary, and at bounded memory."""

import random
import tracemalloc

import pytest

from dpr_tf.data.distinct import Distinct


def repeated_lines(keys):
    distinct = Distinct()
    for line, key in enumerate(keys, start=1):
        distinct.add(key, line)
    return sorted(line for line, _ in distinct.repeated())


def twin(keys):
    return [line for line, key in enumerate(keys, start=1) if key in keys[: line - 1]]


@pytest.mark.parametrize(
    "keys",
    [
        [],
        ["1", "2", "3"],
        ["7", "8", "8", "9", "7"],
        ["1", "2", "4", "3", "2", "4"],  # the run ends at 2
        ["a", "1", "2", "1", "a"],
        ["1", "01", "1 ", "١", "1"],  # other texts, though the same number
        ["1" * 30, "1" * 30],
        ["0", "1", "0"],
    ],
)
def test_finds_each_repeated_key(keys):
    assert repeated_lines(keys) == twin(keys)


@pytest.mark.parametrize("seed", range(10))
def test_is_a_dictionary(seed):
    source = random.Random(seed)
    keys = [str(i) for i in range(source.randrange(20))]
    keys += [source.choice(["", "x"]) + str(source.randrange(60)) for _ in range(100)]
    assert repeated_lines(keys) == twin(keys)


def test_the_earlier_line_is_told():
    distinct = Distinct()
    for line, key in enumerate("abcab", start=1):
        distinct.add(key, line)
    assert sorted(distinct.repeated()) == [(4, 1), (5, 2)]


@pytest.mark.parametrize("prefix", ["", "wiki:"])
def test_memory_is_bounded(prefix):
    tracemalloc.start()
    distinct = Distinct()
    for i in range(300_000):  # as a set of texts: 30 MB
        distinct.add(f"{prefix}{i}", i + 1)
    assert list(distinct.repeated()) == []
    assert tracemalloc.get_traced_memory()[1] < 6 * 2**20  # 64 buckets of 64 KiB, and one as a dictionary
    tracemalloc.stop()
