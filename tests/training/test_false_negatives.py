"""False negatives are found where a slow look at every pair finds them."""

import itertools
import random

import numpy as np
import pytest
from small_examples import BRIDGE, EXAMPLES, KING, QUEEN, RIVER, TOWER

from dpr_tf.data import Example, ExamplePassage
from dpr_tf.evaluation.answers import has_answer
from dpr_tf.training.false_negatives import answering_passages, same_passages

COLUMNS = [BRIDGE, QUEEN, TOWER, None, TOWER, KING, BRIDGE, RIVER]


def test_same_passages_are_the_known_positives():
    # KING is a positive of the first question too, though not the one it is trained with.
    assert same_passages(EXAMPLES, COLUMNS).astype(int).tolist() == [
        [1, 0, 0, 0, 0, 1, 1, 0],
        [0, 0, 1, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 1, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 0],
    ]


def same(a, b):
    """The rule for one pair."""
    return a.id == b.id if a.id and b.id else (a.title, a.text) == (b.title, b.text)


def test_ids_decide_and_texts_where_an_id_is_missing():
    draw = random.Random(3)
    kinds = [ExamplePassage(*kind) for kind in itertools.product(["", "1", "2"], ["", "a"], ["x", "y"])]
    examples = [Example("q", (), tuple(draw.choices(kinds, k=draw.randint(1, 3)))) for _ in range(30)]
    passages = draw.choices(kinds, k=40)
    expected = [[any(same(p, other) for other in e.positives) for p in passages] for e in examples]
    np.testing.assert_array_equal(same_passages(examples, passages), expected)


@pytest.mark.parametrize("match", ["string", "regex"])
def test_answering_passages_contain_an_answer_in_their_text(match):
    examples = [*EXAMPLES, Example("q", (r"b\w+e" if match == "regex" else "Paris", "stone"), (TOWER,))]
    expected = [[p is not None and has_answer(p.text, e.answers, match) for p in COLUMNS] for e in examples]
    found = answering_passages(examples, COLUMNS, match)
    np.testing.assert_array_equal(found, expected)
    assert found.sum() >= 9
    assert not answering_passages([Example("q", (), (TOWER,))], COLUMNS, match).any()
