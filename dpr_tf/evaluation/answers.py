"""Does a text contain an answer, and does a given answer match: the rules of DPR and of SQuAD.

Knows strings only. Sources: DPR's string match and regular expression match (Karpukhin et al. 2020) for
retrieval, SQuAD v1.1's exact match and F1 (Rajpurkar et al. 2016) for reading.

Tokens are cut by the Unicode categories of Python's `unicodedata`, which give what the pattern
`[\\p{L}\\p{N}\\p{M}]+|[^\\p{Z}\\p{C}]` of the `regex` package gives, character for character; the package
itself is only needed where the answers are regular expressions.
"""

from __future__ import annotations

import functools
import logging
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

logger = logging.getLogger(__name__)

MATCHES = ("string", "regex")

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_REGEX_SECONDS = 10.0  # for one pattern on one passage; a sane one takes microseconds


class _TokenBoundaries(dict):
    """For str.translate: letters, digits and marks stay, separators become a space, the rest stands alone."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)[0]
        self[code] = character if kind in "LNM" else " " if kind in "ZC" else f" {character} "
        return self[code]


_BOUNDARIES = _TokenBoundaries()


def tokens(text: str) -> list[str]:
    """Cuts a text as DPR's answer matching does.

    A token is a run of letters, digits and marks, or a single other visible character, after Unicode
    decomposition (NFD), in lower case.
    """
    return [token.lower() for token in unicodedata.normalize("NFD", text).translate(_BOUNDARIES).split()]


def has_answer(text: str, answers: Iterable[str], match: str = "string") -> bool:
    """Whether a text contains one of the answers.

    Args:
        text: of a passage; DPR looks at the text only, not at the title.
        answers: phrasings, of which one has to be there.
        match: as for `AnswerMatcher`.

    Raises:
        TypeError, ValueError, ImportError: as `AnswerMatcher`.
    """
    return AnswerMatcher(answers, match).found_in(text)


class AnswerMatcher:
    """The answers to one question, prepared once, to look for in many passages.

    Args:
        answers: phrasings, of which one has to be there. An empty one, or one that has no token, never
            matches.
        match: "string": the tokens of the answer stand in the text one after the other. "regex", for
            CuratedTREC: the answers are regular expressions, searched without regard to case, `^` and `$`
            at each line; text and pattern are decomposed (NFD). An invalid one is logged and never matches.

    Raises:
        TypeError: if `answers` is a single str.
        ValueError: for another `match`.
        ImportError: for "regex" without the package `regex`, which defines the syntax of the patterns.
    """

    def __init__(self, answers: Iterable[str], match: str = "string") -> None:
        if match not in MATCHES:
            raise ValueError(f"match={match!r}: expected one of {', '.join(map(repr, MATCHES))}")
        self._wanted: list[tuple[str, str]] = []
        self._patterns: list[Any] = []
        for answer in _phrasings(answers):
            if match == "regex":
                self._patterns += _compiled(answer)
            elif cut := tokens(answer):
                self._wanted.append((_folded(max(cut, key=len)), _joined(cut)))

    def found_in(self, text: str | SearchedText) -> bool:
        """Whether `text` contains one of the answers.

        Raises:
            ValueError: if a regular expression takes longer than 10 seconds.
        """
        searched = SearchedText(text) if isinstance(text, str) else text
        if self._patterns:
            return _matches(self._patterns, searched.decomposed)
        # Cutting into tokens is slow. A token is a substring of the lower-cased text; where it is not, done.
        likely = [answer for longest, answer in self._wanted if longest in searched.folded]
        return bool(likely) and any(answer in searched.joined for answer in likely)


class SearchedText:
    """A text in which the answers to many questions are looked for, prepared once for all of them.

    Args:
        text: of a passage.
    """

    def __init__(self, text: str) -> None:
        self._text = text

    @functools.cached_property
    def decomposed(self) -> str:
        """The text after Unicode decomposition (NFD)."""
        return unicodedata.normalize("NFD", self._text)

    @functools.cached_property
    def folded(self) -> str:
        """In lower case."""
        return _folded(self.decomposed.lower())

    @functools.cached_property
    def joined(self) -> str:
        """The tokens, each between spaces."""
        return _joined(tokens(self._text))


def _phrasings(answers: Iterable[str]) -> Iterable[str]:
    if isinstance(answers, str):
        raise TypeError(f"answers must be a list of str, got one str: [{answers!r}]")
    return answers


def _joined(cut: list[str]) -> str:
    """Each token between spaces, so that a run of tokens is a substring."""
    return " ".join(["", *cut, ""])


def _folded(text: str) -> str:
    """The sigma that ends a word as any other: the one letter whose lower case depends on its neighbours."""
    return text.replace("\u03c2", "\u03c3")


def _compiled(answer: str) -> list[Any]:
    """The pattern, if it is one."""
    try:
        import regex
    except ImportError as error:
        raise ImportError('answers as regular expressions need: pip install "dpr_tf[evaluation]"') from error
    if not answer.strip():
        return []
    try:
        return [regex.compile(unicodedata.normalize("NFD", answer), regex.I | regex.U | regex.M)]
    except regex.error as error:
        logger.warning("the answer %r is no regular expression (%s): it matches nothing", answer, error)
        return []


def _matches(patterns: list[Any], text: str) -> bool:
    for pattern in patterns:
        try:
            if pattern.search(text, timeout=_REGEX_SECONDS):
                return True
        except TimeoutError as error:
            raise ValueError(
                f"the answer {pattern.pattern!r} takes longer than {_REGEX_SECONDS:.0f} s on one passage; "
                "a repetition inside a repetition is the usual cause: simplify it"
            ) from error
    return False


def normalize_answer(text: str) -> str:
    """SQuAD's normal form: lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Iterable[str]) -> bool:
    """Whether the normal form of `prediction` equals that of one of the answers.

    Raises:
        TypeError: if `answers` is a single str.
    """
    found = normalize_answer(prediction)
    return any(found == normalize_answer(answer) for answer in _phrasings(answers))


def f1(prediction: str, answers: Iterable[str]) -> float:
    """The best token overlap with an answer: the harmonic mean of precision and recall, in [0, 1].

    Tokens are the words of the normal form, counted with repetition; no overlap is 0.

    Raises:
        TypeError: if `answers` is a single str.
    """
    found = Counter(normalize_answer(prediction).split())
    return max(
        (_overlap(found, Counter(normalize_answer(answer).split())) for answer in _phrasings(answers)),
        default=0.0,
    )


def _overlap(found: Counter[str], wanted: Counter[str]) -> float:
    return 2 * (found & wanted).total() / total if (total := found.total() + wanted.total()) else 0.0
