"""Hard negatives: what is taken and what is left out."""

import pytest

from dpr_tf.data import Passage
from dpr_tf.retrieval import mine_passages

GOLD = Passage("1", "Tower", "It was built in 1889 by Eiffel.")
ANSWER = Passage("2", "Fair", "The fair of 1889.")
TITLE = Passage("3", "1889 in France", "A year of the Third Republic.")
NEAR = Passage("4", "Bridge", "It was built in 1888.")
FAR = Passage("5", "Queen", "The queen.")
COPY = Passage("6", "Tower", "It was built in 1889 by Eiffel.")  # the gold passage under another id
RETRIEVED = [ANSWER, GOLD, NEAR, TITLE, COPY, FAR]


def test_negatives_have_no_answer_and_are_no_positives():
    mined = mine_passages(["1889"], [GOLD], RETRIEVED, count=9)
    assert mined.positives == (GOLD,)
    assert mined.hard_negatives == (NEAR, FAR)
    assert mined.with_answer == 2  # ANSWER, TITLE


def test_a_positive_without_the_answer_is_no_negative():
    assert mine_passages(["Gustave"], [GOLD], [GOLD, COPY, NEAR], count=9).hard_negatives == (NEAR,)


def test_passages_without_id_are_told_apart_by_their_text():
    passages = [passage._replace(id="") for passage in (GOLD, NEAR)]
    assert mine_passages(["Gustave"], passages[:1], passages, count=9).hard_negatives == (passages[1],)


def test_count_and_skip():
    assert mine_passages(["1889"], [GOLD], RETRIEVED).hard_negatives == (NEAR,)
    assert mine_passages(["1889"], [GOLD], RETRIEVED, count=0).hard_negatives == ()
    assert mine_passages(["1889"], [GOLD], RETRIEVED, skip=2).hard_negatives == (NEAR,)  # it stands third
    assert mine_passages(["1889"], [GOLD], RETRIEVED, skip=3).hard_negatives == (FAR,)


def test_without_positives_the_first_passage_with_an_answer_is_one():
    mined = mine_passages(["1889"], [], [NEAR, TITLE, ANSWER, GOLD, FAR], count=9)
    assert mined.positives == (ANSWER,)  # the text counts, not the title
    assert mined.hard_negatives == (NEAR, FAR)
    assert mined.with_answer == 2  # TITLE, GOLD
    assert mine_passages(["1999"], [], RETRIEVED).positives == ()


def test_regular_expressions():
    pytest.importorskip("regex")
    mined = mine_passages([r"188\d"], [], RETRIEVED, count=9, match="regex")
    assert (mined.positives, mined.hard_negatives) == ((ANSWER,), (FAR,))


@pytest.mark.parametrize(
    ("answers", "options", "message"),
    [
        ([], {}, "at least one answer"),
        (["1889"], {"count": -1}, "count=-1"),
        (["1889"], {"skip": -1}, "skip=-1"),
        (["1889"], {"match": "fuzzy"}, "'fuzzy'"),
    ],
)
def test_refuses(answers, options, message):
    with pytest.raises(ValueError, match=message):
        mine_passages(answers, [GOLD], RETRIEVED, **options)
