"""Hard negatives: what is taken and what is left out."""

import json

import pytest

from dpr_tf.data import Example, ExamplePassage, Passage, read_examples, write_examples
from dpr_tf.retrieval import mine_examples, mine_passages

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


def as_ctx(passage, score):
    return {"id": passage.id, "title": passage.title, "text": passage.text, "score": str(score)}


@pytest.fixture
def found(tmp_path):
    """A retriever's output for three questions."""
    passages = [as_ctx(passage, 9 - place) for place, passage in enumerate(RETRIEVED)]
    questions = [("when?", ["1889"]), ("who?", ["Gustave"]), ("which?", ["queen"])]
    path = tmp_path / "found.json"
    path.write_text(
        json.dumps([{"question": text, "answers": answers, "ctxs": passages} for text, answers in questions])
    )
    return path


def test_mine_examples_from_files(found, tmp_path):
    known = Example(
        "who?", ("Gustave",), (ExamplePassage(GOLD.id, GOLD.title, GOLD.text),), dataset="d", negatives=()
    )
    other = known._replace(answers=("Sauvestre",), positives=(ExamplePassage("9", "", "Sauvestre drew it."),))
    write_examples(tmp_path / "known.json", [other, known])
    counts = mine_examples(found, tmp_path / "mined.json", tmp_path / "known.json", count=2)
    when, who, which = read_examples(tmp_path / "mined.json")
    assert [passage.id for passage in when.positives] == ["2"]  # unknown: the first with an answer
    assert [(passage.id, passage.score) for passage in when.hard_negatives] == [("4", 7.0), ("5", 4.0)]
    assert (
        who.positives == known.positives
    )  # of the two examples of the question the one with the same answers
    assert who.dataset == "d"
    assert [passage.id for passage in who.hard_negatives] == ["2", "4"]
    assert [passage.id for passage in which.positives] == ["5"]
    # when: 1, 3 and 6; who: none; which: none
    assert counts == (3, 3, 0, 0, 3)


def test_mine_examples_counts_what_is_missing(found, tmp_path):
    counts = mine_examples(found, tmp_path / "mined.jsonl", skip=9)
    examples = list(read_examples(tmp_path / "mined.jsonl"))
    assert [example.question for example in examples] == ["when?", "which?"]
    assert counts == (3, 2, 1, 2, 3)


def test_mine_examples_needs_answers(tmp_path):
    (tmp_path / "found.json").write_text('[{"question": "why?", "ctxs": [{"text": "t"}]}]')
    with pytest.raises(ValueError, match=r"found\.json: the question 'why\?' has no answers"):
        mine_examples(tmp_path / "found.json", tmp_path / "mined.json")
    assert not (tmp_path / "mined.json").exists()
