"""Top-k retrieval accuracy as a picture. Knows reports; draws with matplotlib (extra `evaluation`)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from dpr_tf.evaluation.report import RetrievalReport


def plot_accuracy(reports: Mapping[str, RetrievalReport], path: str | os.PathLike[str]) -> None:
    """Draws top-k retrieval accuracy over k, with confidence intervals as bands, and writes a PNG file.

    Args:
        reports: name in the legend -> report.
        path: where to write; the file appears when it is complete.

    Raises:
        ValueError: if there are no reports, or `path` does not end in `.png`.
        ImportError: without matplotlib.
        OSError: if the file cannot be written.
    """
    target = Path(path)
    if not reports or target.suffix.lower() != ".png":
        raise ValueError(
            f"expected at least one report, and a path that ends in .png; got {len(reports)}, {target}"
        )
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('curves need matplotlib: pip install "dpr_tf[evaluation]"') from error
    figure = Figure(figsize=(7, 4.5), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    for name, report in reports.items():
        ks = np.arange(1, len(report.accuracy) + 1)
        (line,) = axes.plot(ks, 100 * report.accuracy, label=name, marker="." if len(ks) == 1 else None)
        axes.fill_between(
            ks, 100 * report.low, 100 * report.high, color=line.get_color(), alpha=0.15, linewidth=0
        )
    if max(len(report.accuracy) for report in reports.values()) > 1:
        axes.set_xscale("log")
    axes.set(xlabel="k, passages retrieved", ylabel="top-k retrieval accuracy (%)")
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    aside = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        FigureCanvasAgg(figure).print_png(aside)
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)
