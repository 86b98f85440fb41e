"""Measures of rankings against judgements, as TREC and BEIR use them, by `ir-measures`. Knows ids, no text.

Unlike `trec_eval`, which sorts a run by its scores and orders equal ones by id, the ranking is taken as it is
given.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

# Checked here: ir-measures ends the process for a cutoff of 0.
_NAME = re.compile(r"(RR|nDCG|AP)(@[1-9][0-9]*)?|(R|P|Success)@[1-9][0-9]*")


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
        measures: names of `ir-measures` with the number of passages to look at: `RR` (reciprocal rank, whose
            mean is MRR), `nDCG` (gain is the grade, discounted by log2(rank + 1)), `AP` (average precision,
            whose mean is MAP), all three also without a number; `R` (recall: share of the relevant passages),
            `P` (precision), `Success` (whether there is a relevant passage).

    Returns:
        For each measure float64 [questions], in the order of `judgements`, in [0, 1].

    Raises:
        ValueError: for an unknown measure, no judgements, or a ranking that names a passage twice.
        ImportError: without ir-measures.
    """
    _check(rankings, judgements, measures)
    library = _ir_measures()
    wanted = {library.parse_measure(name): name for name in measures}
    run = {
        question: {passage: float(-rank) for rank, passage in enumerate(rankings.get(question, ()))}
        for question in judgements
    }
    rows = {question: row for row, question in enumerate(judgements)}
    found = {name: np.zeros(len(judgements)) for name in measures}
    for value in library.iter_calc(list(wanted), judgements, run):
        found[wanted[value.measure]][rows[value.query_id]] = value.value
    return found


def _check(
    rankings: Mapping[str, Sequence[str]],
    judgements: Mapping[str, Mapping[str, int]],
    measures: Sequence[str],
) -> None:
    unknown = [name for name in measures if not _NAME.fullmatch(name)]
    if unknown:
        raise ValueError(
            f"unknown measure {unknown[0]!r}: expected RR, nDCG or AP, or one of RR, nDCG, AP, R, P, Success "
            "with a number of passages, such as nDCG@10"
        )
    if not judgements:
        raise ValueError("there are no judgements to compare with")
    for question in judgements:
        ranking = rankings.get(question, ())
        if len(set(ranking)) < len(ranking):
            raise ValueError(f"the ranking of question {question!r} names a passage twice")


def _ir_measures() -> Any:
    try:
        import ir_measures
    except ImportError as error:
        raise ImportError(
            'measures against judgements need ir-measures: pip install "dpr_tf[evaluation]"'
        ) from error
    return ir_measures
