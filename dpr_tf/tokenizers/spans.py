"""Answer spans from start and end logits, without a Python loop over token pairs."""

from __future__ import annotations

import bisect
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Spans sorted at first, per span wanted; more are sorted only when too many of these are nested.
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
    start_logits: ArrayLike,
    end_logits: ArrayLike,
    max_answer_length: int,
    top_spans: int,
    *,
    text_start: int = 0,
    text_end: int | None = None,
) -> list[tuple[int, int]]:
    """The highest scoring spans of one passage, none of which lies inside another.

    The score of the tokens s to e, both included, is `start_logits[s] + end_logits[e]` in the logits' own
    type.
    Equal scores are ordered by s, then by length. A span that contains a better one or lies inside it is
    skipped; spans may overlap otherwise.

    Args:
        start_logits: float [tokens].
        end_logits: float [tokens].
        max_answer_length: the most tokens a span may have; at least 0.
        top_spans: how many spans to return, at most; 0 or less returns all.
        text_start: the first token a span may have.
        text_end: the token after the last one a span may have; default: all tokens.

    Returns:
        (s, e) pairs, the best first, counted from the first logit.

    Raises:
        ValueError: if `max_answer_length` is negative, or there are not as many start as end logits.

    Cost:
        O(tokens * max_answer_length) additions, and a sort of the best few.
    """
    start, end = np.asarray(start_logits), np.asarray(end_logits)
    if start.shape != end.shape or start.ndim != 1:
        raise ValueError(
            f"best_spans() takes two rows of logits, [tokens]; found {start.shape} and {end.shape}"
        )
    if max_answer_length < 0:
        raise ValueError(f"max_answer_length={max_answer_length}: expected 0 or more tokens")
    start, end = start[text_start:text_end], end[text_start:text_end]
    width = min(max_answer_length, len(start))
    if width == 0:
        return []
    scores = _scores(start, end, width)
    wanted = top_spans if top_spans > 0 else scores.size
    count = _FIRST_TRY * wanted
    while True:
        starts, ends = _best_first(scores, count)
        inside = ends < len(start)
        spans = _without_nested(starts[inside], ends[inside], wanted)
        if len(spans) == wanted or count >= len(start):
            return [(s + text_start, e + text_start) for s, e in spans]
        count *= 8


def _scores(start: np.ndarray, end: np.ndarray, width: int) -> np.ndarray:
    """Scores [width, tokens] of spans by length - 1 and start; -inf where a span would leave the text."""
    padding = np.full(width - 1, -np.inf, dtype=np.result_type(end, np.float16))
    padded = np.concatenate([end, padding])
    # row n of the windows is end[n], end[n + 1], ...: a view, no copy
    return start + np.ndarray((width, len(start)), padded.dtype, padded, strides=padded.strides * 2)


def _best_first(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and ends of at least the `count` best spans, descending, equal ones by start, then by end.

    The border is what the best `count` starts reach with their best ends: all spans with that score or a
    higher one are returned. Nearly all spans are below it, and are never sorted.
    """
    tokens = scores.shape[1]
    border = -np.inf
    if count < tokens:
        best_of_start = scores.max(axis=0)
        best_of_start.partition(tokens - count)
        border = best_of_start[tokens - count]
    candidates = np.flatnonzero(scores >= border)
    lengths, starts = np.divmod(candidates, tokens)
    order = np.lexsort((lengths, starts, -scores.ravel()[candidates]))
    return starts[order], (starts + lengths)[order]


def _without_nested(starts: np.ndarray, ends: np.ndarray, wanted: int) -> list[tuple[int, int]]:
    """The first `wanted` spans that neither contain an earlier one nor lie inside it."""
    spans: list[tuple[int, int]] = []
    # of the spans taken: no two are nested, so sorted by their starts they are sorted by their ends too
    taken_starts: list[int] = []
    taken_ends: list[int] = []
    for s, e in zip(starts.tolist(), ends.tolist(), strict=True):
        after = bisect.bisect_right(taken_starts, s)
        if after and taken_ends[after - 1] >= e:
            continue
        first = bisect.bisect_left(taken_starts, s)
        if first < len(taken_ends) and taken_ends[first] <= e:
            continue
        taken_starts.insert(after, s)
        taken_ends.insert(after, e)
        spans.append((s, e))
        if len(spans) == wanted:
            break
    return spans
