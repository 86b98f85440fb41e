"""The exact index against a loop, ties and block borders included."""

import numpy as np
import pytest

from dpr_tf.retrieval import index as index_module
from dpr_tf.retrieval.index import ExactIndex


def search_by_sorting(vectors, questions, k):
    """The slow, obvious twin: scores by decreasing value, equal ones by row."""
    found = []
    for question in questions:
        scores = [
            sum(float(a) * float(b) for a, b in zip(question, vector, strict=True)) for vector in vectors
        ]
        rows = sorted(range(len(scores)), key=lambda row: (-scores[row], row))[:k]
        found.append(([scores[row] for row in rows], rows))
    return tuple(np.array(part) for part in zip(*found, strict=True))


def test_orders_by_inner_product_and_equal_scores_by_row():
    index = ExactIndex(2)
    index.add(np.array([[1, 0], [0, 2], [1, 0]], np.float32))
    index.add(np.array([[-3, 0], [0, -0.0]], np.float32))
    # inner products with (2, 1): [2, 2, 2, -6, 0]; with (0, -1): [0, -2, 0, 0, 0]
    scores, rows = index.search(np.array([[2, 1], [0, -1]], np.float32), k=5)
    assert rows.tolist() == [[0, 1, 2, 4, 3], [0, 2, 3, 4, 1]]
    assert scores.tolist() == [[2, 2, 2, 0, -6], [0, 0, 0, 0, -2]]
    assert (scores.dtype, rows.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize("k", [1, 4, 83])
def test_equals_the_slow_twin_across_blocks_and_chunks(monkeypatch, k):
    monkeypatch.setattr(index_module, "_ROWS", 7)
    monkeypatch.setattr(index_module, "_QUESTIONS", 3)
    random = np.random.default_rng(5)
    # Small whole numbers: sums are exact in float32, and there are many equal scores.
    vectors = random.integers(-3, 4, size=(83, 6)).astype(np.float32)
    questions = random.integers(-3, 4, size=(11, 6)).astype(np.float32)
    index = ExactIndex(6)
    for chunk in np.split(vectors, [20, 20, 61]):
        index.add(chunk)
    scores, rows = index.search(questions, k)
    expected_scores, expected_rows = search_by_sorting(vectors, questions, k)
    np.testing.assert_array_equal(rows, expected_rows)
    np.testing.assert_array_equal(scores, expected_scores)


def test_scores_are_the_inner_products_bit_for_bit():
    random = np.random.default_rng(6)
    vectors, questions = (random.normal(size=(n, 5)).astype(np.float32) for n in (40, 3))
    index = ExactIndex(5)
    index.add(vectors)
    scores, rows = index.search(questions, k=40)
    np.testing.assert_array_equal(scores, np.take_along_axis(questions @ vectors.T, rows, axis=1))
    assert (np.diff(scores) <= 0).all()


def test_no_questions_give_no_rows():
    index = ExactIndex(3)
    index.add(np.ones((4, 3), np.float32))
    scores, rows = index.search(np.empty((0, 3), np.float32), k=2)
    assert scores.shape == rows.shape == (0, 2)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((2, 4), np.float32), r"must be float32 \[vectors, 3\], got float32 \[2, 4\]"),
        (np.ones((2, 3)), "got float64"),
        (np.ones(3, np.float32), r"got float32 \[3\]"),
        (
            np.array([[1, 2, 3], [1, np.nan, 3]], np.float32),
            "1 rows hold NaN or infinity, the first is row 1",
        ),
    ],
)
def test_refuses_vectors_that_do_not_fit(vectors, message):
    index = ExactIndex(3)
    with pytest.raises(ValueError, match=message):
        index.add(vectors)
    assert len(index) == 0


@pytest.mark.parametrize("k", [0, 3])
def test_refuses_k_out_of_range(k):
    index = ExactIndex(3)
    index.add(np.ones((2, 3), np.float32))
    with pytest.raises(ValueError, match=f"between 1 and the index's 2 vectors, got {k}"):
        index.search(np.ones((1, 3), np.float32), k)


def test_refuses_a_width_of_zero():
    with pytest.raises(ValueError, match="dim must be at least 1"):
        ExactIndex(0)
