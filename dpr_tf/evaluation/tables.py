"""The evaluation of several files side by side, for people and as JSON. Knows reports, no model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from dpr_tf.evaluation.curves import plot_accuracy
from dpr_tf.evaluation.files import Estimate, RankingReport, evaluate_retrieved, evaluate_run
from dpr_tf.evaluation.report import RetrievalReport

_KS = (1, 5, 20, 100)  # as in DPR's tables


class EvaluationTable(NamedTuple):
    """What was measured in each file.

    Attributes:
        level: share of bootstrap means inside the intervals.
        questions: file -> number of questions.
        rows: what is measured -> {file -> estimate}.
        curves: file -> top-k retrieval accuracy for every k from 1; empty for runs.
    """

    level: float
    questions: dict[str, int]
    rows: dict[str, dict[str, Estimate]]
    curves: dict[str, list[float]]

    def as_json(self) -> dict[str, Any]:
        """What JSON can hold: shares in [0, 1]."""
        return {
            "level": self.level,
            "files": [
                {
                    "file": file,
                    "questions": questions,
                    "measures": {
                        name: {bound: round(share, 6) for bound, share in of_files[file]._asdict().items()}
                        for name, of_files in self.rows.items()
                        if file in of_files
                    },
                    **({"accuracy_by_k": self.curves[file]} if file in self.curves else {}),
                }
                for file, questions in self.questions.items()
            ],
        }

    def __str__(self) -> str:
        """One column per file, in percent, with confidence intervals."""
        cells = [["", *self.questions], ["questions", *(f"{number:,}" for number in self.questions.values())]]
        for name, of_files in self.rows.items():
            cells.append([name, *(_in_percent(of_files.get(file)) for file in self.questions)])
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
            for row in cells
        ]
        return "\n".join(
            [*lines, "", f"In percent; in brackets {100 * self.level:g} % confidence intervals."]
        )


def evaluate_files(
    files: Sequence[str | os.PathLike[str]],
    *,
    qrels: str | os.PathLike[str] | None = None,
    measures: Sequence[str] = ("RR@10", "nDCG@10", "R@100"),
    match: Literal["string", "regex"] = "string",
    k: Sequence[int] | None = None,
    plot: str | os.PathLike[str] | None = None,
) -> EvaluationTable:
    """Measures what retrievers found: outputs with answers, or with judgements TREC runs.

    Top-k retrieval accuracy, with confidence intervals, is the share of questions with an answer in the text
    of one of their first k passages.

    Args:
        files: retriever outputs (JSON, plain or .gz); with `qrels` TREC runs.
        qrels: judgements, TREC's or BEIR's.
        measures: with qrels: RR, nDCG, AP, R, P or Success with @k; the first three also without.
        match: without qrels: whether answers are strings or regular expressions.
        k: without qrels: numbers of passages. Default: those of 1, 5, 20 and 100 that were retrieved.
        plot: without qrels: a PNG file to draw the accuracy over every k in.

    Raises:
        OSError: if a file cannot be opened or written.
        ValueError: if a file is damaged, there is nothing to evaluate, a k is larger than what was retrieved,
            or `k` or `plot` comes with `qrels`.
        ImportError: for `plot` without matplotlib, `match="regex"` without regex.
    """
    names = list(dict.fromkeys(str(file) for file in files))
    if qrels is not None:
        if k or plot:
            raise ValueError("k and plot are of retriever outputs; for runs name measures such as Success@20")
        return _of_runs({name: evaluate_run(name, qrels, measures) for name in names})
    reports = {name: evaluate_retrieved(name, match=match) for name in names}
    table = _of_reports(reports, k)
    if plot:
        plot_accuracy(reports, plot)
    return table


def _of_reports(reports: dict[str, RetrievalReport], ks: Sequence[int] | None) -> EvaluationTable:
    rows: dict[str, dict[str, Estimate]] = {}
    for name, report in reports.items():
        for k in ks or [k for k in _KS if k <= len(report.accuracy)]:
            rows.setdefault(f"top-{k}", {})[name] = report.estimate(k)
    ordered = dict(sorted(rows.items(), key=lambda row: int(row[0].removeprefix("top-"))))
    ordered["MRR"] = {name: report.mean_reciprocal_rank for name, report in reports.items()}
    return EvaluationTable(
        level=next(iter(reports.values())).level,
        questions={name: len(report.ranks) for name, report in reports.items()},
        rows=ordered,
        curves={name: report.accuracy.round(6).tolist() for name, report in reports.items()},
    )


def _of_runs(reports: dict[str, RankingReport]) -> EvaluationTable:
    first = next(iter(reports.values()))
    rows = {
        measure: {name: report.measures[measure] for name, report in reports.items()}
        for measure in first.measures
    }
    return EvaluationTable(
        first.level, {name: report.questions for name, report in reports.items()}, rows, curves={}
    )


def _in_percent(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    return f"{100 * estimate.mean:.1f} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"
