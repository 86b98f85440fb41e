"""Evaluates what stands in files: a retriever's output, or a TREC run against judgements. Knows no model."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dpr_tf.data.retrieved import read_retrieved
from dpr_tf.data.trec import RunLine, read_qrels, read_run
from dpr_tf.evaluation.confidence import Estimate, bootstrap_interval
from dpr_tf.evaluation.ranking import ranking_measures
from dpr_tf.evaluation.report import RetrievalReport, evaluate_retrieval


def evaluate_retrieved(
    path: str | os.PathLike[str], *, match: str = "string", level: float = 0.95, seed: int = 0
) -> RetrievalReport:
    """Looks for answers in the passages of a retriever's output; it is streamed.

    Args:
        path: JSON of questions with `answers` and `ctxs`, as for `read_retrieved`. What it says in
            `has_answer` is not believed.
        match: "string" or "regex", as for `AnswerMatcher`.
        level, seed: of the confidence interval, as for `bootstrap_interval`.

    Raises:
        OSError: if the file cannot be opened.
        ValueError: if it is no such file, or there is nothing to evaluate.
    """
    results = (
        (found.answers, [passage.text for passage in found.passages]) for found in read_retrieved(path)
    )
    with contextlib.closing(results):
        try:
            return evaluate_retrieval(results, match=match, level=level, seed=seed)
        except ValueError as error:
            raise error if str(path) in str(error) else ValueError(f"{path}: {error}") from error


class RankingReport(NamedTuple):
    """How well rankings agree with judgements.

    Attributes:
        questions: how many were judged.
        measures: name -> mean over the judged questions.
        level: share of bootstrap means inside the intervals.
    """

    questions: int
    measures: dict[str, Estimate]
    level: float


def evaluate_run(
    run: str | os.PathLike[str],
    qrels: str | os.PathLike[str],
    measures: Sequence[str] = ("RR@10", "nDCG@10", "R@100"),
    *,
    level: float = 0.95,
    seed: int = 0,
) -> RankingReport:
    """Compares a run with judgements.

    Args:
        run: a TREC run file. Passages are ordered by score, as TREC's own program does; of equal scores the
            one with the better rank comes first, then the one that is earlier in the file.
        qrels: TREC's or BEIR's judgements.
        measures: as for `ranking_measures`.
        level, seed: of the confidence intervals, as for `bootstrap_interval`.

    Raises:
        OSError: if a file cannot be opened.
        ValueError: if one is damaged, there are no judgements, a measure is unknown, none of the judged
            questions is in the run, or the run names a passage twice for a question.
    """
    judgements: dict[str, dict[str, int]] = {}
    for judgement in read_qrels(qrels):
        judgements.setdefault(judgement.question_id, {})[judgement.passage_id] = judgement.relevance
    rankings = _rankings(read_run(run))
    if judgements and not rankings.keys() & judgements.keys():
        raise ValueError(
            f"{run}: none of its questions is judged in {qrels}; are they of the same questions?"
        )
    values = ranking_measures(rankings, judgements, measures)
    report = {}
    for name, of_questions in values.items():
        low, high = bootstrap_interval(of_questions, level=level, seed=seed)
        report[name] = Estimate(float(of_questions.mean()), float(low), float(high))
    return RankingReport(len(judgements), report, level)


def _rankings(lines: Iterable[RunLine]) -> dict[str, list[str]]:
    found: dict[str, list[RunLine]] = {}
    for line in lines:
        found.setdefault(line.question_id, []).append(line)
    return {
        question: [line.passage_id for line in sorted(of_question, key=lambda line: (-line.score, line.rank))]
        for question, of_question in found.items()
    }
