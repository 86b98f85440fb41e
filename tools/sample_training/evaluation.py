"""SQuAD's answer measures, and the best span of a passage, for the reports of the training script."""

from __future__ import annotations

import collections
import re
import string
from collections.abc import Sequence

import numpy as np

_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> list[str]:
    """Lower case, no punctuation, no articles, as words (SQuAD v1.1's rules)."""
    words = re.sub(r"\b(a|an|the)\b", " ", text.lower().translate(_PUNCTUATION))
    return words.split()


def exact_match(answer: str, references: Sequence[str]) -> bool:
    """Whether the normalised answer equals any normalised reference."""
    return any(normalise(answer) == normalise(reference) for reference in references)


def f1(answer: str, references: Sequence[str]) -> float:
    """Best word overlap F1 with any reference, 0 to 1."""
    return max(_f1(normalise(answer), normalise(reference)) for reference in references)


def _f1(words: list[str], reference: list[str]) -> float:
    common = sum((collections.Counter(words) & collections.Counter(reference)).values())
    return 2.0 * common / (len(words) + len(reference)) if common else 0.0


def best_span(start: np.ndarray, end: np.ndarray, first: int, last: int, longest: int = 12) -> tuple[int, int, float]:
    """The span within tokens first to last with the largest start + end logit, and that sum.

    Args:
        start: float [tokens].
        end: float [tokens].
        first: first token allowed.
        last: last token allowed, inclusive.
        longest: most tokens in a span.
    """
    scores = start[first : last + 1, None] + end[None, first : last + 1]
    length = np.arange(last + 1 - first)[None, :] - np.arange(last + 1 - first)[:, None]
    scores = np.where((length >= 0) & (length < longest), scores, -np.inf)
    best = np.unravel_index(np.argmax(scores), scores.shape)
    return int(best[0]) + first, int(best[1]) + first, float(scores[best])
