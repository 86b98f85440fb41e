"""The exact index against a loop: ties, borders of blocks, filters, every dtype and the int8 first pass."""

import tracemalloc

import numpy as np
import pytest
from brute_force import brute_force

from dpr_tf.retrieval.indexes import ExactIndex, exact, int8, topk

OPTIONS = [{}, {"dtype": "float16"}, {"first_pass": "int8"}, {"dtype": "float16", "first_pass": "int8"}]
each_option = pytest.mark.parametrize("options", OPTIONS, ids=str)


def filled(vectors, options=None, cuts=()):
    index = ExactIndex(vectors.shape[1], **(options or {}))
    for chunk in np.split(vectors, list(cuts)):
        index.add(chunk)
    return index


def whole_numbers(seed, *shape):
    """Inner products of small whole numbers are exact in float32, and many are equal."""
    return np.random.default_rng(seed).integers(-3, 4, size=shape).astype(np.float32)


def clustered(seed, count, dim):
    """Vectors as encoders make them: a common part, a few large numbers, some close neighbours."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(9, dim)) * random.choice([1, 1, 6], size=dim) + random.normal(size=dim) * 3
    return (centres[random.integers(9, size=count)] + random.normal(size=(count, dim)) * 0.3).astype(
        np.float32
    )


def test_orders_by_inner_product_and_equal_scores_by_row():
    index = ExactIndex(2)
    index.add(np.array([[1, 0], [0, 2], [1, 0]], np.float32))
    index.add(np.array([[-3, 0], [0, -0.0]], np.float32))
    # inner products with (2, 1): [2, 2, 2, -6, 0]; with (0, -1): [0, -2, 0, 0, 0]
    scores, rows = index.search(np.array([[2, 1], [0, -1]], np.float32), k=5)
    assert rows.tolist() == [[0, 1, 2, 4, 3], [0, 2, 3, 4, 1]]
    assert scores.tolist() == [[2, 2, 2, 0, -6], [0, 0, 0, 0, -2]]
    assert not np.signbit(scores[1, :4]).any()
    assert (scores.dtype, rows.dtype, index.is_exact) == (np.float32, np.int64, True)


@each_option
@pytest.mark.parametrize("k", [1, 4, 83, 100])
def test_equals_the_slow_twin_across_blocks_and_chunks(small_blocks, options, k):
    vectors, questions = whole_numbers(5, 83, 6), whole_numbers(6, 11, 6)
    scores, rows = filled(vectors, options, cuts=[20, 20, 61]).search(questions, k)
    expected_scores, expected_rows = brute_force(vectors, questions, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@each_option
def test_equals_the_slow_twin_on_real_numbers(small_blocks, options):
    vectors, questions = clustered(1, 150, 33), clustered(2, 8, 33)
    stored = vectors.astype(options.get("dtype", "float32"))
    scores, rows = filled(vectors, options).search(questions, k=9)
    expected_scores, expected_rows = brute_force(stored, questions, k=9)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


@each_option
def test_equals_numpy_at_the_real_block_size(options):
    vectors, questions = clustered(3, 20_011, 24), clustered(4, 5, 24)
    stored = vectors.astype(options.get("dtype", "float32")).astype(np.float64)
    scores, rows = filled(vectors, options, cuts=[300, 9_000]).search(questions, k=50)
    products = (questions.astype(np.float64) @ stored.T).astype(np.float32)
    expected = np.argsort(-products, axis=1, kind="stable")[:, :50]
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_array_equal(scores, np.take_along_axis(products, expected, axis=1))


@each_option
def test_scores_depend_on_the_pair_alone(small_blocks, options):
    # The same vector in different places of different blocks: one score, and the order of rows.
    vectors, questions = clustered(7, 40, 19), clustered(8, 7, 19)
    vectors[[3, 16, 39]] = vectors[22]
    together = filled(vectors, options).search(questions, k=40)
    for number, question in enumerate(questions):
        scores, rows = filled(vectors, options, cuts=[1, 30]).search(question[None], k=40)
        np.testing.assert_array_equal(scores[0], together[0][number])
        np.testing.assert_array_equal(rows[0], together[1][number])
        places = np.flatnonzero(np.isin(rows[0], [3, 16, 22, 39]))
        assert rows[0, places].tolist() == [3, 16, 22, 39]
        assert len(set(scores[0, places].tolist())) == 1


@each_option
@pytest.mark.parametrize("scale", [1e-12, 1.0, 30.0])
def test_equal_and_constant_vectors(small_blocks, monkeypatch, options, scale):
    monkeypatch.setattr(topk, "_MANY", 3)  # nothing can be told apart: candidates are settled on the way
    vectors = np.full((60, 4), scale, np.float32)
    scores, rows = filled(vectors, options).search(np.ones((2, 4), np.float32), k=2)
    assert rows.tolist() == [[0, 1], [0, 1]]
    stored = vectors.astype(options.get("dtype", "float32"))
    np.testing.assert_array_equal(scores, np.float32(4 * float(stored[0, 0])))


@each_option
def test_one_giant_among_dwarfs(small_blocks, options):
    vectors, questions = clustered(9, 60, 8), clustered(10, 3, 8)
    vectors[31] *= 1000
    scores, rows = filled(vectors, options).search(questions, k=5)
    expected = brute_force(vectors.astype(options.get("dtype", "float32")), questions, k=5)
    np.testing.assert_array_equal(rows, expected[1])
    np.testing.assert_array_equal(scores, expected[0])


def test_the_error_bounds_are_needed(monkeypatch):
    # Planted: without the bound of the coding, the first pass drops some of the best.
    vectors, questions = clustered(1, 3_000, 33), clustered(2, 20, 33)
    found = []
    for _ in range(2):
        index = filled(vectors, {"first_pass": "int8"})
        found.append(index.search(questions, k=20)[1])
        monkeypatch.setattr(int8, "_CARE", np.float32(0))
        monkeypatch.setattr(
            exact, "product_error", lambda questions, norm: np.zeros(len(questions), np.float32)
        )
        monkeypatch.setattr(int8, "product_error", exact.product_error)
    assert (found[0] != found[1]).any()


@each_option
def test_only_and_exclude_and_removed(small_blocks, options):
    vectors, questions = whole_numbers(11, 50, 5), whole_numbers(12, 4, 5)
    index = filled(vectors, options)
    index.remove(
        ["3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "40"]
    )  # rows 7 to 13: a whole block
    only = np.array([2, 3, 20, 21, 22, 40, 41, 49, 30])
    excluded = [[20], [], [21, 2, 21], [49, 41]]
    scores, rows = index.search(questions, k=5, only=only, exclude=excluded)
    for number in range(4):
        allowed = {2, 20, 21, 22, 41, 49, 30} - set(excluded[number])
        expected = brute_force(vectors, questions[[number]], 5, allowed)
        np.testing.assert_array_equal(rows[[number]], expected[1])
        np.testing.assert_array_equal(scores[[number]], expected[0])
    assert len(index) == 38


def test_minus_one_where_nothing_more_is_found():
    index = filled(np.eye(3, dtype=np.float32))
    index.remove(["1"])
    scores, rows = index.search(np.array([[3, 2, 1]], np.float32), k=4)
    assert rows.tolist() == [[0, 2, -1, -1]]
    assert scores.tolist() == [[3, 1, -np.inf, -np.inf]]
    assert ExactIndex(3).search(np.ones((2, 3), np.float32), k=2)[1].tolist() == [[-1, -1]] * 2
    assert index.search(np.empty((0, 3), np.float32), k=2)[0].shape == (0, 2)
    assert index.search(np.ones((1, 3), np.float32), k=2, only=np.array([], int))[1].tolist() == [[-1, -1]]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_memory_stays_bounded_over_mapped_files(tmp_path, dtype):
    np.save(tmp_path / "vectors.npy", np.zeros((200_000, 64), dtype))  # 51 or 26 MB
    vectors = np.load(tmp_path / "vectors.npy", mmap_mode="r")
    tracemalloc.start()
    try:
        index = ExactIndex(64, dtype=dtype)
        index.add(vectors, [f"{row:x}" for row in range(200_000)])
        settled, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        index.search(np.ones((3, 64), np.float32), k=10)
        index.save(tmp_path / "index")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - settled < 16e6
    loaded = ExactIndex.load(tmp_path / "index", memory_map=True)
    assert loaded.search(np.ones((1, 64), np.float32), k=2)[1].tolist() == [[0, 1]]


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((2, 4), np.float32), r"float32 or float16 \[vectors, 3\], got float32 \[2, 4\]"),
        (np.ones((2, 3)), "got float64"),
        (np.ones(3, np.float32), r"got float32 \[3\]"),
        (
            np.array([[1, 2, 3], [1, np.nan, 3]], np.float32),
            "1 rows hold NaN or infinity.*the first is row 1",
        ),
        (np.array([[1, 2, 3], [1, np.inf, 3]], np.float16), "1 rows hold NaN or infinity"),
        (np.array([[1e19, 2, 3]], np.float32), "too large"),
    ],
)
def test_refuses_vectors_that_do_not_fit(vectors, message):
    index = ExactIndex(3)
    with pytest.raises(ValueError, match=message):
        index.add(vectors)
    assert len(index) == len(index.ids) == 0


def test_refuses_what_float16_cannot_hold():
    with pytest.raises(ValueError, match="beyond 65504"):
        ExactIndex(1, dtype="float16").add(np.array([[70000]], np.float32))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": 1, "only": np.array([0, 2])}, "only must hold rows of the index, whole numbers from 0 to 1"),
        ({"k": 1, "only": np.array([True, False])}, "only must hold rows"),
        ({"k": 1, "exclude": [[-1]]}, "exclude must hold rows"),
        ({"k": 1, "exclude": [[], []]}, "exclude must have rows for each of 1 questions, got 2"),
    ],
)
def test_refuses_searches_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        filled(np.ones((2, 3), np.float32)).search(np.ones((1, 3), np.float32), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dim": 0}, "dim must be at least 1"),
        ({"dim": 3, "dtype": "int8"}, "dtype='int8': expected one of 'float32', 'float16'"),
        ({"dim": 3, "first_pass": "pq"}, "first_pass='pq': expected one of None, 'int8'"),
    ],
)
def test_refuses_options_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        ExactIndex(**arguments)
