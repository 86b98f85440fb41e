"""Which passages a reader is trained with: each rule on passages short enough to check by eye."""

import json

import numpy as np
import pytest
from small_words import ids, make_tokenizer

from dpr_tf import DPRReaderTokenizerFast
from dpr_tf.data import Example, ExamplePassage, Retrieved, RetrievedPassage
from dpr_tf.training import reader_passages
from dpr_tf.training.reader_passages import PassageChooser, gold_titles, negative_count


@pytest.fixture
def tokenizer(tmp_path):
    return make_tokenizer(DPRReaderTokenizerFast, tmp_path)


def passage(text, has_answer=None, title="the"):
    return RetrievedPassage("", title, text, has_answer=has_answer)


def choose(tokenizer, passages, answers=("king",), question="who?", max_length=60, gold=None):
    found = Retrieved(question, tuple(answers), tuple(passages))
    return PassageChooser(tokenizer, max_length, gold).choose(found)


def test_rows_are_as_the_reader_sees_them(tokenizer):
    choice = choose(tokenizer, [passage("the king of paris"), passage("a river")], question=" who’s ")
    row = choice.positives[1]
    np.testing.assert_array_equal(row.ids, ids("[CLS] who ' [UNK] [SEP] the [SEP] the king of paris"))
    assert (row.ids.dtype, row.text_start, row.spans) == (np.int32, 7, ((8, 8),))
    np.testing.assert_array_equal(choice.negatives[2].ids, ids("[CLS] who ' [UNK] [SEP] the [SEP] a river"))
    assert choice.negatives[2].spans == ()


def test_spans_are_all_places_of_all_answers_in_the_text_alone(tokenizer):
    texts = [passage("king , 1889 , king")]
    choice = choose(tokenizer, texts, ("1889", "king", "King", "the"), "king?")
    # [CLS] king ? [SEP] the [SEP] king , 18 ##89 , king: "the" is in the title, "King" gives the same spans
    assert choice.positives[1].spans == ((8, 9), (6, 6), (11, 11))
    assert choice.unfound_answers == ("the",)


def test_an_answer_inside_a_token_is_no_span(tokenizer):
    # "90" alone is [UNK], in 1890 it is ##90; and not every [UNK] is 90
    passages = [passage("1890 was unknown", has_answer=True), passage("the king")]
    choice = choose(tokenizer, passages, ("90", "king"))
    assert list(choice.positives) == [2]
    assert choice.unfound_answers == ("90",)
    assert choice.left_out == {1: "contains an answer, but not its tokens where the reader sees them"}


def test_an_answer_behind_the_maximal_length_is_no_span(tokenizer):
    passages = [passage("a a a king"), passage("a a king")]
    choice = choose(tokenizer, passages, max_length=8)  # [CLS] who ? [SEP] the [SEP] and two more
    assert (choice.positives, choice.dropped) == ({}, reader_passages.NO_TOKENS)
    choice = choose(tokenizer, [*passages, passage("a river river")], max_length=9)
    assert list(choice.positives) == [2]
    assert [len(row.ids) for row in (*choice.positives.values(), *choice.negatives.values())] == [9, 9]


def test_has_answer_is_believed_and_else_looked_up(tokenizer):
    passages = [passage("the king", has_answer=False), passage("the king"), passage("red", has_answer=None)]
    choice = choose(tokenizer, passages)
    assert (list(choice.positives), list(choice.negatives)) == ([2], [1, 3])


def test_the_gold_article_goes_first(tokenizer):
    gold = {"who?": "Paris"}
    passages = [
        passage("king", title="Rome"),
        *[passage("king", title="paris")] * 25,
        passage("red", title="paris"),
    ]
    choice = choose(tokenizer, passages, gold=gold)
    assert list(choice.positives) == list(range(2, 27))
    assert choice.from_gold_article
    assert choice.left_out == {1: "contains an answer, but is not of the gold article, as others are"}
    assert list(choice.negatives) == [27]


@pytest.mark.parametrize("gold", [None, {"who?": "Zola"}, {"what?": "Paris"}])
def test_any_article_will_do_where_the_gold_one_is_not_known_or_not_found(tokenizer, gold):
    choice = choose(tokenizer, [passage("king", title="Paris")] * 25, gold=gold)
    assert list(choice.positives) == list(range(1, 21))
    assert not choice.from_gold_article
    assert choice.left_out == dict.fromkeys(range(21, 26), "contains an answer, as 20 passages before it do")


def test_the_number_of_negatives(tokenizer):
    assert [negative_count(positives) for positives in (1, 5, 6, 14, 15, 20)] == [50, 50, 60, 140, 150, 150]
    choice = choose(tokenizer, [passage("king")] * 6 + [passage("red")] * 100)
    assert list(choice.negatives) == list(range(7, 67))


def test_only_the_first_200_passages_count(tokenizer):
    choice = choose(tokenizer, [passage("king")] + [passage("red")] * 198 + [passage("king")] * 2)
    assert list(choice.positives) == [1, 200]


@pytest.mark.parametrize(
    ("answers", "passages", "dropped"),
    [
        ((), [passage("king", has_answer=True)], "the file gives no answers to it"),
        (("queen",), [passage("king")], "no passage contains an answer"),
        (
            ("90",),
            [passage("1890", has_answer=True)],
            "no passage contains the tokens of an answer where the reader sees them",
        ),
    ],
)
def test_questions_without_positives_are_left_out(tokenizer, answers, passages, dropped):
    choice = choose(tokenizer, passages, answers)
    assert (choice.dropped, choice.positives, choice.negatives) == (dropped, {}, {})


def test_says_what_it_chose(tokenizer):
    passages = [passage("red"), passage("the king", title="Paris"), passage("1890", has_answer=True)]
    choice = choose(tokenizer, passages, ("king", "90"), gold={"who?": "paris"})
    assert json.loads(json.dumps(choice.explained())) == {
        "question": "who?",
        "answers": ["king", "90"],
        "dropped": None,
        "positives_from": "gold article",
        "positives": [{"rank": 2, "id": "", "title": "Paris", "spans": [[7, 7]]}],
        "negatives": [1],
        "answers_not_found_as_tokens": ["90"],
        "left_out": [{"rank": 3, "why": "contains an answer, but not its tokens where the reader sees them"}],
    }


def test_gold_titles_are_those_of_the_first_positives():
    article, other = (ExamplePassage("", title, "text") for title in ("Paris", "Rome"))
    examples = [Example(" it’s ", (), (article, other)), Example("who", (), ())]
    assert gold_titles(examples) == {"it's": "Paris"}
