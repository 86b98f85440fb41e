"""Which examples stand in which batch of an epoch: seeded, for several data sets. Knows numbers only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def check_rates(rates: Sequence[float], sets: int) -> None:
    """Raises a ValueError unless there is a positive rate for each data set."""
    if len(rates) != sets or not all(0 < rate < float("inf") for rate in rates):
        raise ValueError(f"expected {sets} sampling rates above 0, one for each file, got {list(rates)}")


def epoch_batches(
    sizes: Sequence[int], rates: Sequence[float], batch_size: int, seed: int, epoch: int
) -> list[np.ndarray]:
    """Draws the batches of an epoch. Each holds examples of one data set, as in DPR's own training.

    In-batch negatives are then of the question's own kind, and ids of passages of one collection. The batches
    of a data set differ in size by one example at most: DPR's last batch may be so small that it has hardly
    a negative.

    Args:
        sizes: examples in each data set.
        rates: how often an epoch has each example of a data set: 1 once, 2 twice, 0.5 every other one, drawn
            anew for each epoch.
        batch_size: the most examples in a batch.
        seed: of the draw.
        epoch: from 0.

    Returns:
        Numbers of examples, int64 [batch] each; the data sets are numbered through. Their count is the same
        in each epoch.
    """
    found: list[np.ndarray] = []
    first = 0
    for dataset, (size, rate) in enumerate(zip(sizes, rates, strict=True)):
        random = np.random.default_rng([seed, epoch, dataset])
        drawn = first + _drawn(size, max(1, round(size * rate)), random)
        found += np.array_split(drawn, _batches(len(drawn), batch_size))
        first += size
    order = np.random.default_rng([seed, epoch, len(sizes)]).permutation(len(found))
    return [found[number] for number in order]


def batches_per_epoch(sizes: Sequence[int], rates: Sequence[float], batch_size: int) -> int:
    """How many batches `epoch_batches` draws."""
    drawn = [max(1, round(size * rate)) for size, rate in zip(sizes, rates, strict=True)]
    return sum(_batches(count, batch_size) for count in drawn)


def _batches(examples: int, batch_size: int) -> int:
    return -(-examples // batch_size)


def _drawn(size: int, count: int, random: np.random.Generator) -> np.ndarray:
    """Numbers below `size` in random order, each as often as any other, or once more."""
    rounds = [random.permutation(size) for _ in range(-(-count // size))]
    return np.concatenate(rounds)[:count]
