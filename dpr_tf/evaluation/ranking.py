"""Measures of rankings against judgements, as TREC and BEIR use them. Knows ids, no text.

Written out here because they are a few lines; the tests compare them with `ir-measures`, whose names they
have. Unlike `trec_eval`, which sorts a run by its scores and orders equal ones by id, the ranking is taken as
it is given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

_NAME = re.compile(r"(RR|nDCG|R|P|Success|AP)(?:@([1-9][0-9]*))?")


def ranking_measures(
    rankings: Mapping[str, Sequence[str]],
    judgements: Mapping[str, Mapping[str, int]],
    measures: Sequence[str] = ("RR@10", "nDCG@10", "R@100"),
) -> dict[str, np.ndarray]:
    """Compares rankings with judgements of relevance.

    Args:
        rankings: question id -> ids of its passages, best first. A question without ranking counts as 0, one
            without judgements is left out.
        judgements: question id -> {passage id: grade}; a grade above 0 is relevant.
        measures: names with or without the number of passages to look at: `RR` (reciprocal rank, whose mean
            is MRR), `nDCG` (gain is the grade, discounted by log2(rank + 1)), `R` (recall: share of the
            relevant passages), `P` (precision), `AP` (average precision, whose mean is MAP), `Success`
            (whether there is a relevant passage).

    Returns:
        For each measure float64 [questions], in the order of `judgements`, in [0, 1].

    Raises:
        ValueError: for an unknown measure, no judgements, or a ranking that names a passage twice.
    """
    wanted = {name: _measure(name) for name in measures}
    if not judgements:
        raise ValueError("there are no judgements to compare with")
    found = np.zeros((len(wanted), len(judgements)))
    for column, (question, grades) in enumerate(judgements.items()):
        ranking = rankings.get(question, ())
        if len(set(ranking)) < len(ranking):
            raise ValueError(f"the ranking of question {question!r} names a passage twice")
        gains = np.array([max(grades.get(passage, 0), 0) for passage in ranking], np.float64)
        ideal = np.sort([grade for grade in grades.values() if grade > 0])[::-1].astype(np.float64)
        if len(ideal):
            found[:, column] = [measure(gains[:cutoff], ideal, cutoff) for measure, cutoff in wanted.values()]
    return dict(zip(wanted, found, strict=True))


def _measure(name: str) -> tuple[Callable[[np.ndarray, np.ndarray, int | None], float], int | None]:
    parts = _NAME.fullmatch(name)
    if not parts:
        raise ValueError(
            f"unknown measure {name!r}: expected one of {', '.join(_MEASURES)}, "
            "with or without a number of passages, such as nDCG@10"
        )
    return _MEASURES[parts[1]], int(parts[2]) if parts[2] else None


# Each takes the grades in the order of the ranking, cut already; the grades above 0 of all judged passages,
# descending, at least one; and the number of passages to look at.


def _reciprocal_rank(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    hits = np.flatnonzero(gains)
    return 1 / (hits[0] + 1) if len(hits) else 0.0


def _ndcg(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    return _dcg(gains) / _dcg(ideal[:cutoff])


def _dcg(gains: np.ndarray) -> float:
    return float((gains / np.log2(np.arange(len(gains)) + 2)).sum())


def _recall(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    return np.count_nonzero(gains) / len(ideal)


def _precision(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    return np.count_nonzero(gains) / depth if (depth := cutoff or len(gains)) else 0.0


def _average_precision(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    hits = np.flatnonzero(gains)
    return float((np.arange(1, len(hits) + 1) / (hits + 1)).sum()) / len(ideal)


def _success(gains: np.ndarray, ideal: np.ndarray, cutoff: int | None) -> float:
    return float(gains.any())


_MEASURES = {
    "RR": _reciprocal_rank,
    "nDCG": _ndcg,
    "R": _recall,
    "P": _precision,
    "AP": _average_precision,
    "Success": _success,
}
