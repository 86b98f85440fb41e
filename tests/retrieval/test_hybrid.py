"""Fusion of two retrievers, worked by hand."""

import numpy as np
import pytest

from dpr_tf.data import Passage
from dpr_tf.evaluation import top_k_accuracy
from dpr_tf.retrieval import HybridRetriever, ScoredPassage, fuse_by_rank, fuse_by_weight, tune_weight

A, B, C, D = (Passage(name, "", f"text {name}") for name in "abcd")


def ranking(*pairs):
    return [ScoredPassage(passage, score, rank) for rank, (passage, score) in enumerate(pairs, start=1)]


SPARSE = ranking((A, 9.0), (B, 5.0), (C, 4.0))
DENSE = ranking((C, 3.0), (D, 2.0), (A, 1.0))


def shown(found):
    return [(scored.passage.id, pytest.approx(scored.score), scored.rank) for scored in found]


def test_weighted_sum():
    # a: 9 + 2 * 1 = 11; b: 5 + 2 * 1 (the lowest of DENSE) = 7; c: 4 + 2 * 3 = 10;
    # d: 4 (the lowest of SPARSE) + 2 * 2 = 8
    assert shown(fuse_by_weight(SPARSE, DENSE, 2.0, 4)) == [
        ("a", 11, 1),
        ("c", 10, 2),
        ("d", 8, 3),
        ("b", 7, 4),
    ]
    assert shown(fuse_by_weight(SPARSE, DENSE, 2.0, 2)) == [("a", 11, 1), ("c", 10, 2)]
    # c: 4 + 10 * 3; d: 4 + 10 * 2; a: 9 + 10; b: 5 + 10
    assert [scored.passage.id for scored in fuse_by_weight(SPARSE, DENSE, 10.0, 9)] == ["c", "d", "a", "b"]


def test_weight_0_is_sparse_alone_and_equal_sums_keep_their_order():
    # c and d both have 4; c is in SPARSE
    assert [scored.passage.id for scored in fuse_by_weight(SPARSE, DENSE, 0.0, 9)] == ["a", "b", "c", "d"]


def test_weighted_sum_when_one_found_nothing():
    assert shown(fuse_by_weight([], DENSE, 2.0, 2)) == [("c", 6, 1), ("d", 4, 2)]
    assert shown(fuse_by_weight(SPARSE, [], 2.0, 1)) == [("a", 9, 1)]
    assert fuse_by_weight([], [], 2.0, 1) == []


def test_negative_scores_are_scores():
    # a: 1 - 8 = -7; b: 1 - 2 = -1
    dense = ranking((B, -1.0), (A, -4.0))
    assert shown(fuse_by_weight(ranking((A, 1.0)), dense, 2.0, 2)) == [("b", -1, 1), ("a", -7, 2)]


def test_reciprocal_rank_fusion():
    # a: 1/61 + 1/63; c: 1/63 + 1/61, the same, and later in the first ranking; d and b: 1/62
    expected = [("a", 1 / 61 + 1 / 63, 1), ("c", 1 / 63 + 1 / 61, 2), ("b", 1 / 62, 3), ("d", 1 / 62, 4)]
    assert shown(fuse_by_rank([SPARSE, DENSE], 9)) == expected
    # with constant 0: a 1 + 1/3, c 1/3 + 1, b 1/2, d 1/2
    assert shown(fuse_by_rank([SPARSE, DENSE], 1, constant=0)) == [("a", 4 / 3, 1)]
    assert shown(fuse_by_rank([SPARSE], 2)) == [("a", 1 / 61, 1), ("b", 1 / 62, 2)]
    assert fuse_by_rank([[], []], 3) == []


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fuse_by_weight(SPARSE, DENSE, -0.1, 3), "at least 0, got -0.1"),
        (lambda: fuse_by_weight(SPARSE, DENSE, float("nan"), 3), "finite number"),
        (lambda: fuse_by_weight(SPARSE, DENSE, 1.0, 0), "k must be at least 1"),
        (lambda: fuse_by_rank([SPARSE], 0), "k must be at least 1"),
        (lambda: fuse_by_rank([SPARSE], 1, constant=-1), "constant must be at least 0"),
        (lambda: tune_weight([SPARSE], [DENSE], []), "1, 1 and 0 questions"),
        (lambda: tune_weight([], [], []), "0, 0 and 0 questions"),
        (lambda: tune_weight([SPARSE], [DENSE], [["a"]], k=0), "k=0"),
        (lambda: HybridRetriever(None, None, weight=-1.0), "at least 0, got -1.0"),
        (lambda: HybridRetriever(None, None, depth=0), "depth must be at least 1"),
    ],
)
def test_refuses(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def random_rankings(generator, questions, passages, scale):
    found = []
    for _ in range(questions):
        chosen = generator.choice(len(passages), generator.integers(0, 9), replace=False)
        scores = np.sort(generator.integers(-5, 6, len(chosen)) * scale)[::-1]  # with equal ones
        found.append(
            ranking(*[(passages[row], float(score)) for row, score in zip(chosen, scores, strict=True)])
        )
    return found


def test_tuned_accuracies_equal_fusing_and_evaluating():
    generator = np.random.default_rng(6)
    passages = [Passage(str(number), "", f"word{number % 7}") for number in range(29)]
    sparse, dense = (random_rankings(generator, 37, passages, scale) for scale in (1.0, 0.3))
    answers = [[f"word{generator.integers(9)}"] for _ in range(37)]
    tuned = tune_weight(sparse, dense, answers, k=3)
    assert len(tuned.tried) == 42
    for weight, accuracy in tuned.tried.items():
        fused = [fuse_by_weight(*both, weight, 3) for both in zip(sparse, dense, strict=True)]
        texts = [[scored.passage.text for scored in found] for found in fused]
        assert top_k_accuracy(texts, answers, [3])[3] == pytest.approx(accuracy), weight
    assert tuned.accuracy == max(tuned.tried.values()) == tuned.tried[tuned.weight]
    assert min(tuned.tried.values()) < tuned.accuracy


def test_tuning_finds_the_retriever_that_is_right():
    right, wrong = Passage("r", "", "yes"), [Passage(f"w{number}", "", "no") for number in range(3)]
    good = ranking((right, 3.0), (wrong[0], 2.0), (wrong[1], 1.0))
    bad = ranking((wrong[2], 30.0), (wrong[1], 20.0), (right, 10.0))
    assert tune_weight([good], [bad], [["yes"]], k=1).weight == 0.0
    tuned = tune_weight([bad], [good], [["yes"]], k=1)
    assert tuned.weight > 0
    assert tuned.accuracy == 1.0
    assert tuned.tried[0.0] == 0.0


def test_equally_good_weights_are_told_apart_by_reciprocal_rank():
    # Among the first two the answer is always; first it is only where dense counts.
    sparse, dense = ranking((A, 2.0), (B, 1.0)), ranking((B, 2.0), (A, 1.0))
    tuned = tune_weight([sparse], [dense], [["text b"]], k=2)
    assert set(tuned.tried.values()) == {1.0}
    assert fuse_by_weight(sparse, dense, tuned.weight, 1)[0].passage == B


class Fixed:
    """Finds the same for every question."""

    def __init__(self, found):
        self.found, self.asked = found, []

    def retrieve(self, questions, k):
        self.asked.append(k)
        return [self.found[:k] for _ in questions]


def test_hybrid_retriever():
    sparse, dense = Fixed(SPARSE), Fixed(DENSE)
    assert (
        HybridRetriever(sparse, dense, weight=2.0).retrieve(["one?", "two?"], 2)
        == [fuse_by_weight(SPARSE, DENSE, 2.0, 2)] * 2
    )
    assert HybridRetriever(sparse, dense).retrieve(["one?"], 3) == [fuse_by_rank([SPARSE, DENSE], 3)]
    HybridRetriever(sparse, dense, depth=2).retrieve(["one?"], 3)
    assert sparse.asked == dense.asked == [100, 100, 3]
