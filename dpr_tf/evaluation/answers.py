"""Does a text contain an answer, and does a given answer match: the rules of DPR and of SQuAD.

Knows strings only. Sources: DPR's string match (Karpukhin et al. 2020) for retrieval, SQuAD v1.1's exact
match and F1 (Rajpurkar et al. 2016) for reading.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class _TokenBoundaries(dict):
    """For str.translate: letters, digits and marks stay, separators become a space, the rest stands alone."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        kind = unicodedata.category(character)[0]
        self[code] = character if kind in "LNM" else " " if kind in "ZC" else f" {character} "
        return self[code]


_BOUNDARIES = _TokenBoundaries()


def has_answer(text: str, answers: Iterable[str]) -> bool:
    """Whether the tokens of one of the answers stand in `text` one after the other, whatever their case.

    A token is a run of letters, digits and marks, or a single other visible character, after Unicode
    decomposition (NFD). An answer without any token never matches.

    Args:
        text: of a passage; DPR looks at the text only, not at the title.
        answers: phrasings, of which one has to be there.
    """
    tokens = _joined_tokens(text)
    return any(len(wanted := _joined_tokens(answer)) > 1 and wanted in tokens for answer in answers)


def _joined_tokens(text: str) -> str:
    """Lower-case tokens, each between spaces, so that a run of tokens is a substring."""
    tokens = unicodedata.normalize("NFD", text).translate(_BOUNDARIES).split()
    return " ".join(["", *(token.lower() for token in tokens), ""])


def normalize_answer(text: str) -> str:
    """SQuAD's normal form: lower case, without ASCII punctuation and English articles, single spaces."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Iterable[str]) -> bool:
    """Whether the normal form of `prediction` equals that of one of the answers."""
    found = normalize_answer(prediction)
    return any(found == normalize_answer(answer) for answer in answers)


def f1(prediction: str, answers: Iterable[str]) -> float:
    """The best token overlap with an answer: the harmonic mean of precision and recall, in [0, 1].

    Tokens are the words of the normal form, counted with repetition; no overlap is 0.
    """
    found = Counter(normalize_answer(prediction).split())
    return max(
        (_overlap(found, Counter(normalize_answer(answer).split())) for answer in answers), default=0.0
    )


def _overlap(found: Counter[str], wanted: Counter[str]) -> float:
    return 2 * (found & wanted).total() / total if (total := found.total() + wanted.total()) else 0.0
