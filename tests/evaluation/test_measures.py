"""Measures over several questions, worked by hand."""

import pytest

from dpr_tf.evaluation import score_answers, top_k_accuracy

ANSWERS = [["Paris"], ["1889", "in 1889"], ["Zola"], ["stone"]]


def test_top_k_accuracy():
    retrieved = [
        ["In Paris.", "Nothing."],  # rank 1
        ["Nothing.", "Nothing.", "Built in 1889.", "1889"],  # rank 3
        ["Nothing.", "Emile Zola."],  # rank 2
        ["Wood.", "A stonemason.", "Iron."],  # never: "stone" is only a part of a word
    ]
    assert top_k_accuracy(retrieved, ANSWERS, ks=(1, 2, 3, 100)) == {1: 0.25, 2: 0.5, 3: 0.75, 100: 0.75}


def test_score_answers():
    # F1 of "Emile Zola" and "Zola": 1 common of 2 and 1 -> 2/3; "" has no words -> 0
    scores = score_answers(["the Paris", "1889.", "Emile Zola", ""], ANSWERS)
    assert scores.exact_match == 2 / 4
    assert scores.f1 == pytest.approx((1 + 1 + 2 / 3 + 0) / 4)


@pytest.mark.parametrize("predictions", [[], ["one"]])
def test_refuses_lists_that_do_not_fit(predictions):
    with pytest.raises(ValueError, match="expected one entry per question"):
        score_answers(predictions, ANSWERS if predictions else [])
    with pytest.raises(ValueError, match="expected one entry per question"):
        top_k_accuracy([[text] for text in predictions], ANSWERS if predictions else [], ks=(1,))
