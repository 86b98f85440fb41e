"""Measures over several questions, worked by hand."""

import numpy as np
import pytest

from dpr_tf.evaluation import (
    Prediction,
    answer_rank,
    gold_ranks,
    score_answers,
    score_answers_by_k,
    top_k_accuracy,
    top_k_hits,
)

ANSWERS = [["Paris"], ["1889", "in 1889"], ["Zola"], ["stone"]]


def test_top_k_accuracy():
    retrieved = [
        ["In Paris.", "Nothing."],  # rank 1
        ["Nothing.", "Nothing.", "Built in 1889.", "1889"],  # rank 3
        ["Nothing.", "Emile Zola."],  # rank 2
        ["Wood.", "A stonemason.", "Iron."],  # never: "stone" is only a part of a word
    ]
    assert top_k_accuracy(retrieved, ANSWERS, ks=(1, 2, 3, 100)) == {1: 0.25, 2: 0.5, 3: 0.75, 100: 0.75}


def test_top_k_accuracy_of_regular_expressions():
    pytest.importorskip("regex")
    retrieved = [["Built in 1889."], ["Built in 188."]]
    assert top_k_accuracy(retrieved, [["18.9"], ["18.9"]], ks=(1,), match="regex") == {1: 0.5}


def test_answer_rank_looks_no_further_than_the_first():
    texts = iter(["Nothing.", "In Paris.", "not looked at"])
    assert answer_rank(texts, ["Paris"]) == 2
    assert next(texts) == "not looked at"
    assert answer_rank(["Nothing."], ["Paris"]) == 0
    assert answer_rank([], ["Paris"]) == 0


def test_top_k_hits():
    assert top_k_hits(np.array([1, 3, 0]), [1, 2, 3]).tolist() == [
        [True, True, True],
        [False, False, True],
        [False, False, False],
    ]


def test_gold_ranks():
    scores = np.array([[0.5, 2.0, 1.0], [3.0, 3.0, 3.0], [-1.0, -3.0, -2.0]])
    # 2 > 1: one before; two equal ones in earlier columns; -1 and -2 are higher than -3
    assert gold_ranks(scores, np.array([2, 2, 1])).tolist() == [1, 2, 2]


def test_gold_ranks_equal_sorting():
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 4, (13, 7)).astype(np.float32)
    gold = generator.integers(0, 7, 13)
    expected = [
        np.argsort(-row, kind="stable").tolist().index(column)
        for row, column in zip(scores, gold, strict=True)
    ]
    assert gold_ranks(scores, gold).tolist() == expected


@pytest.mark.parametrize(
    ("scores", "gold", "message"),
    [
        ([[1.0, 2.0]], [2], "columns from 0 to 1"),
        ([[1.0, 2.0]], [-1], "columns from 0 to 1"),
        ([[1.0, float("nan")]], [0], "NaN"),
        ([[1.0, 2.0]], [0, 1], "expected scores"),
        ([1.0, 2.0], [0], "expected scores"),
    ],
)
def test_gold_ranks_refuses(scores, gold, message):
    with pytest.raises(ValueError, match=message):
        gold_ranks(np.array(scores), np.array(gold))


def test_score_answers():
    # F1 of "Emile Zola" and "Zola": 1 common of 2 and 1 -> 2/3; "" has no words -> 0
    scores = score_answers(["the Paris", "1889.", "Emile Zola", ""], ANSWERS)
    assert scores.exact_match == 2 / 4
    assert scores.f1 == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


def test_score_answers_by_k():
    predictions = [
        # k = 1: "Rome", wrong; k = 2 and more: "Paris", whose score is higher; rank 3 has a lower one
        [Prediction("Lyon", 3, 0.1), Prediction("Paris", 2, 0.9), Prediction("Rome", 1, 0.5)],
        # k = 1, 2: nothing was read; k = 3: "1889"; k = 4: "1900" has the same score and comes later
        [Prediction("1889", 3, (1.0, 2.0)), Prediction("1900", 4, (1.0, 2.0))],
    ]
    found = score_answers_by_k(predictions, ANSWERS[:2], ks=(4, 1, 2, 3))
    assert list(found) == [4, 1, 2, 3]
    assert {k: scores.exact_match for k, scores in found.items()} == {1: 0.0, 2: 0.5, 3: 1.0, 4: 1.0}
    assert found[2].f1 == 0.5


def test_score_answers_by_k_equals_reading_again_for_each_k():
    generator = np.random.default_rng(1)
    words = ["Paris", "the Paris", "1889", "Zola", "red stone", ""]
    predictions = [
        [
            Prediction(str(generator.choice(words)), int(rank), float(generator.integers(4)))
            for rank in generator.permutation(9) + 1
        ]
        for _ in ANSWERS
    ]
    ks = (1, 3, 5, 20)
    for k, scores in score_answers_by_k(predictions, ANSWERS, ks).items():
        read = [
            sorted((p for p in of_question if p.rank <= k), key=lambda p: (-p.score, p.rank))
            for of_question in predictions
        ]
        assert scores == score_answers([best[0].text for best in read], ANSWERS)


@pytest.mark.parametrize("predictions", [[], ["one"]])
def test_refuses_lists_that_do_not_fit(predictions):
    with pytest.raises(ValueError, match="expected one entry per question"):
        score_answers(predictions, ANSWERS if predictions else [])
    with pytest.raises(ValueError, match="expected one entry per question"):
        top_k_accuracy([[text] for text in predictions], ANSWERS if predictions else [], ks=(1,))
