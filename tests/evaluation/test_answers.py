"""Answer matching, with each expected value worked from the published rules."""

import pytest

from dpr_tf.evaluation import exact_match, f1, has_answer


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("It was built in 1889 by Gustave Eiffel.", "gustave eiffel", True),
        ("It was built in 1889.", "188", False),  # part of a token
        ("It was built in 1889.", "1889", True),  # the full stop is a token of its own
        ("He paid $3.5 million", "$3.5", True),
        ("He paid 3 . 5 million", "3.5", True),  # white space between tokens does not count
        ("U.S. history", "US", False),
        ("a well-known fact", "well known", False),  # the hyphen is a token
        ("Café de Flore", "cafe\u0301", True),  # one character or letter and mark: equal once decomposed
        ("Café de Flore", "cafe", False),
        ("snake_case", "snake", True),  # an underscore is no letter
        ("東京都", "東京", False),  # one run of letters
        ("anything", "", False),
        ("anything", " \t", False),
        ("", "word", False),
        ("the end", "end of", False),
    ],
)
def test_has_answer(text, answer, expected):
    assert has_answer(text, [answer]) is expected


def test_has_answer_needs_only_one_of_the_answers():
    assert has_answer("The capital is Rome.", ["Paris", "rome"])
    assert not has_answer("The capital is Rome.", [])


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        ("The  Eiffel Tower.", ["eiffel tower"], True),
        ("Eiffel's", ["eiffels"], True),
        ("Eiffel", ["Eiffel Tower"], False),
        ("Theory", ["ory"], False),  # "the" goes as a word only
        ("two", ["one", "two"], True),
    ],
)
def test_exact_match(prediction, answers, expected):
    assert exact_match(prediction, answers) is expected


@pytest.mark.parametrize(
    ("prediction", "answers", "expected"),
    [
        # 2 common words; precision 2/3, recall 2/2 -> 4/5
        ("tall Eiffel Tower", ["the Eiffel Tower"], 4 / 5),
        # "very" twice against once: 1 common; precision 1/2, recall 1/1 -> 2/3
        ("very very", ["very"], 2 / 3),
        ("Rome", ["Paris"], 0.0),
        ("Rome", ["Paris", "Rome"], 1.0),
        ("the", ["a"], 0.0),
        ("Rome", [], 0.0),
    ],
)
def test_f1(prediction, answers, expected):
    assert f1(prediction, answers) == pytest.approx(expected)
