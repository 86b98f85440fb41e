"""Answer spans from start and end logits, without a Python loop over token pairs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Pairs of tokens scored at once: a passage of 350 tokens with answers of up to 64 fits into the first try.
_FIRST_TRY = 4


class DPRSpanPrediction(NamedTuple):
    """One answer.

    Attributes:
        span_score: start logit + end logit.
        relevance_score: the passage's relevance logit.
        doc_id: which passage, counted from 0 in the order given to the reader.
        start_index: first token of the span in the row, counted from [CLS].
        end_index: last token of the span, inclusive.
        text: the decoded span.
    """

    span_score: float
    relevance_score: float
    doc_id: int
    start_index: int
    end_index: int
    text: str


def best_spans(
    start_logits,
    end_logits,
    max_answer_length: int,
    top_spans: int,
    *,
    text_start: int = 0,
    text_end: int | None = None,
) -> list[tuple[int, int]]:
    """The highest scoring spans of one passage, none of which lies inside another.

    The score of tokens s..e (both inclusive) is `start_logits[s] + end_logits[e]`, added in float64 or the logits' own type.
    Equal scores are ordered by s, then by length. A span that contains a better one or lies inside it is skipped; spans may
    overlap otherwise.

    Args:
        start_logits: float [tokens].
        end_logits: float [tokens].
        max_answer_length: the most tokens a span may have.
        top_spans: how many spans to return; 0 or less returns all.
        text_start: first token a span may have.
        text_end: the token after the last one a span may have; default: all tokens.

    Returns:
        (s, e) pairs, the best first, counted from the first logit.

    Cost:
        O(tokens * max_answer_length) additions, and a sort of the best few.
    """
    start = np.asarray(start_logits)[text_start:text_end]
    end = np.asarray(end_logits)[text_start:text_end]
    tokens, width = len(start), min(max_answer_length, len(start))
    if tokens == 0 or width <= 0:
        return []
    scores, valid = _scores(start, end, width)
    wanted = top_spans if top_spans > 0 else scores.size
    count = _FIRST_TRY * wanted
    while True:
        candidates = _best_first(scores, count, valid)
        chosen = _without_nested(candidates // width, candidates // width + candidates % width, wanted)
        if len(chosen) == wanted or len(candidates) == valid:
            return [(s + text_start, e + text_start) for s, e in chosen]
        count *= 8


def _scores(start: np.ndarray, end: np.ndarray, width: int) -> tuple[np.ndarray, int]:
    """Flat scores of all (s, s + length), length < width, and how many of them are spans (the rest are -inf)."""
    tokens = len(start)
    padded = np.concatenate([end, np.full(width - 1, -np.inf, dtype=np.result_type(end, np.float16))])
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, width
    )  # [tokens, width]: end[s], end[s + 1], ...
    return (start[:, None] + windows).ravel(), tokens * width - width * (width - 1) // 2


def _best_first(scores: np.ndarray, count: int, valid: int) -> np.ndarray:
    """Positions of the `count` highest scores, descending, equal ones by position; at most `valid` of them."""
    if count >= valid:
        return np.argsort(-scores, kind="stable")[:valid]
    # everything from the count-th highest score upwards, ties at the border included, then an exact sort of those
    border = np.partition(scores, scores.size - count)[scores.size - count]
    candidates = np.flatnonzero(scores >= border)
    return candidates[np.argsort(-scores[candidates], kind="stable")]


def _without_nested(starts: np.ndarray, ends: np.ndarray, wanted: int) -> list[tuple[int, int]]:
    chosen: list[tuple[int, int]] = []
    for s, e in zip(starts.tolist(), ends.tolist()):
        if any((a <= s and e <= b) or (s <= a and b <= e) for a, b in chosen):
            continue
        chosen.append((s, e))
        if len(chosen) == wanted:
            break
    return chosen
