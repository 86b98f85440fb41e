"""Answer matching, with each expected value worked from the published rules."""

import logging
import random
import sys
import unicodedata

import pytest

from dpr_tf.evaluation import AnswerMatcher, exact_match, f1, has_answer
from dpr_tf.evaluation import answers as answers_module
from dpr_tf.evaluation.answers import tokens


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
        ("naïve", "nai\u0308ve", True),
        ("\u212b unit", "\u00c5", True),  # the Angstrom sign decomposes to A and ring
        ("ﬁnal", "final", False),  # a ligature has no canonical decomposition
        ("x² + 1", "x2", False),  # neither has a superscript
        ("x² + 1", "X²", True),
        ("straße", "strasse", False),  # lower case, not case folding
        ("İstanbul", "i\u0307stanbul", True),  # capital I with dot is I and dot, decomposed
        ("ΟΔΟΣ 1", "οδος", True),  # the last sigma of a word is another letter
        ("ΟΔΟΣ", "οδοσ", False),  # which the answer has to have too, as DPR compares lower-case tokens
        ("हिन्दी भाषा", "हिन्दी", True),  # vowel signs are marks: inside the token
        ("हिन्दी", "हिन", False),
        ("서울특별시", "서울", False),  # decomposed, a run of letters still
        ("서울 시", "서울", True),
        ("a\u200bb", "a b", True),  # zero-width space: category Cf, a separator
        ("a\u00adb", "ab", False),  # soft hyphen too
        ("a\u00a0b", "a b", True),  # no-break space
        ("10\u202f000", "10 000", True),
        ("line\nbreak", "line break", True),
        ("“quoted”", '"quoted"', False),  # curly quotes are other characters
        ("it’s", "it's", False),
        ("it's", "it ' s", True),
        ("100%", "100", True),
        ("100 %", "100%", True),
        ("😀 smile", "😀", True),  # a symbol is a token
        ("👩\u200d🔬", "👩🔬", True),  # the joiner is a separator
        ("\ud800", "\ud800", False),  # a lone surrogate is no token
        ("\ue000", "\ue000", False),  # private use neither
        ("anything", "\u200b\u00ad", False),  # not one token: never matches
        ("٣ كتب", "٣", True),
        ("a--b", "- -", True),
        ("a--b", "---", False),
    ],
)
def test_has_answer(text, answer, expected):
    assert has_answer(text, [answer]) is expected


def test_has_answer_needs_only_one_of_the_answers():
    assert has_answer("The capital is Rome.", ["Paris", "rome"])
    assert not has_answer("The capital is Rome.", [])


@pytest.mark.parametrize("compare", [has_answer, exact_match, f1])
def test_a_single_str_is_no_list_of_answers(compare):
    with pytest.raises(TypeError, match="one str"):
        compare("Rome", "Rome")


def slow_has_answer(text, answers):
    """The rule, word for word: the documented pattern, and a loop over all places."""
    pattern = pytest.importorskip("regex").compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")

    def cut(string):
        return [token.lower() for token in pattern.findall(unicodedata.normalize("NFD", string))]

    found = cut(text)
    for answer in answers:
        wanted = cut(answer)
        if wanted and any(found[i : i + len(wanted)] == wanted for i in range(len(found))):
            return True
    return False


def test_every_character_is_cut_as_the_pattern_says():
    regex = pytest.importorskip("regex")
    pattern = regex.compile(r"[\p{L}\p{N}\p{M}]+|[^\p{Z}\p{C}]")
    # What one of the two Unicode versions has not assigned yet is left out.
    known = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) != "Cn"]
    for start in range(0, len(known), 4096):
        text = " ".join(f"a{character}b" for character in known[start : start + 4096])
        text = regex.sub(r"\p{Cn}", "", unicodedata.normalize("NFD", text))
        assert tokens(text) == [token.lower() for token in pattern.findall(text)], hex(ord(known[start]))


def test_fast_match_equals_the_slow_one():
    pytest.importorskip("regex")
    generator = random.Random(3)
    alphabet = "aAbB1.- \n\u0301éÉΣσςİıſ\u200bﬁ²한ि"
    outcomes = []
    for _ in range(20000):
        text = "".join(generator.choices(alphabet, k=generator.randrange(12)))
        start = generator.randrange(len(text) + 1)
        near = text[start : start + generator.randrange(4)]
        answers = [
            generator.choice([near, near.upper(), near.lower(), "".join(generator.choices(alphabet, k=2))])
        ]
        expected = slow_has_answer(text, answers)
        assert has_answer(text, answers) is expected, (text, answers)
        outcomes.append(expected)
    assert 0.1 < sum(outcomes) / len(outcomes) < 0.9


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("Built in 1889.", r"18\d\d", True),
        ("BUILT", "built", True),
        ("Built in 1889.", "88", True),  # no token boundaries
        ("first\nsecond line", "^second", True),  # at each line
        ("first\nsecond line", "first$", True),
        ("Cafe\u0301", "Café$", True),  # both decomposed
        ("Café", "Caf.$", False),  # decomposed, two characters follow
        ("Café", "Caf..$", True),
        ("Zürich", r"Z\p{L}\p{M}rich", True),  # syntax of the package regex
        ("a(b", "a(b", False),  # invalid: matches nothing
        ("anything", "", False),
        ("any thing", " ", False),
        ("anything", "x*", True),  # a pattern that matches the empty string matches
    ],
)
def test_regular_expressions(text, pattern, expected):
    pytest.importorskip("regex")
    assert has_answer(text, [pattern], "regex") is expected


def test_an_invalid_pattern_is_told_and_the_others_count(caplog):
    pytest.importorskip("regex")
    with caplog.at_level(logging.WARNING):
        assert has_answer("ab", ["(", "b"], match="regex")
    assert "'('" in caplog.text


def test_a_pattern_that_never_ends_is_an_error(monkeypatch):
    pytest.importorskip("regex")
    monkeypatch.setattr(answers_module, "_REGEX_SECONDS", 0.05)
    matcher = AnswerMatcher([r"(?:(?:a|b|ab)+)+(?<=x)"], "regex")
    with pytest.raises(ValueError, match=r"takes longer .*simplify"):
        matcher.found_in("ab" * 200)


def test_regular_expressions_without_the_package_name_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "regex", None)
    with pytest.raises(ImportError, match=r"pip install \"dpr_tf\[evaluation\]\""):
        has_answer("a", ["a"], match="regex")


def test_unknown_match():
    with pytest.raises(ValueError, match="'fuzzy': expected one of 'string', 'regex'"):
        has_answer("a", ["a"], match="fuzzy")


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
