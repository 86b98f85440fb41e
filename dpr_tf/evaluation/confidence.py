"""How sure a mean over questions is: bootstrap confidence intervals. Knows numbers only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """Bounds of a mean.

    Attributes:
        low, high: float64, of the shape of the mean.
    """

    low: np.ndarray
    high: np.ndarray


class Estimate(NamedTuple):
    """A mean over questions, and how sure it is.

    Attributes:
        mean: in the unit of what was measured; shares are in [0, 1].
        low, high: bounds of its confidence interval.
    """

    mean: float
    low: float
    high: float


def bootstrap_interval(
    values: np.ndarray, *, level: float = 0.95, resamples: int = 1000, seed: int = 0
) -> Interval:
    """The interval in which the mean over questions lies, by the percentile bootstrap (Efron 1979).

    As many questions are drawn with replacement as there are, again and again; the interval holds the middle
    of the means. To compare two systems on the same questions, give the difference of their values: where
    the interval excludes 0, the difference is more than chance.

    Args:
        values: [questions] or [questions, ...]: what each question contributes, such as hits.
        level: share of the means inside, between 0 and 1.
        resamples: how often to draw.
        seed: of the drawing; the same seed gives the same interval.

    Raises:
        ValueError: if there are no questions, or `level` or `resamples` is out of range.
    """
    values = np.asarray(values, np.float64)
    if values.ndim < 1 or not len(values):
        raise ValueError("there are no questions to draw from")
    if not 0 < level < 1 or resamples < 1:
        raise ValueError(
            f"expected a level between 0 and 1, and at least 1 resample; got {level} and {resamples}"
        )
    random = np.random.default_rng(seed)
    flat = values.reshape(len(values), -1)
    means = np.empty((resamples, flat.shape[1]))
    for row in range(resamples):
        drawn = random.integers(len(flat), size=len(flat))
        means[row] = np.bincount(drawn, minlength=len(flat)) @ flat / len(flat)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return Interval(low.reshape(values.shape[1:]), high.reshape(values.shape[1:]))
