"""The order of epochs: complete, seeded, of one data set a batch, as often as the rates say."""

import itertools
from collections import Counter

import numpy as np
import pytest

from dpr_tf.training.sampling import batches_per_epoch, check_rates, epoch_batches


def drawn(*arguments):
    return [batch.tolist() for batch in epoch_batches(*arguments)]


def test_each_example_once_in_batches_of_similar_size():
    batches = drawn([10], [1.0], 4, 7, 0)
    assert sorted(map(len, batches)) == [3, 3, 4]  # not 4, 4, 2
    assert sorted(itertools.chain(*batches)) == list(range(10))


def test_order_follows_from_seed_and_epoch():
    assert drawn([50], [1.0], 8, 7, 3) == drawn([50], [1.0], 8, 7, 3)
    assert drawn([50], [1.0], 8, 7, 3) != drawn([50], [1.0], 8, 7, 4)
    assert drawn([50], [1.0], 8, 7, 3) != drawn([50], [1.0], 8, 8, 3)


def test_a_batch_holds_one_data_set_and_sets_alternate():
    batches = drawn([30, 20], [1.0, 1.0], 5, 7, 0)
    kinds = [{row >= 30 for row in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds)
    kinds = [kind.pop() for kind in kinds]
    assert Counter(kinds) == {False: 6, True: 4}
    assert kinds != sorted(kinds)


def test_rates_repeat_and_leave_out():
    sizes, rates = [10, 20], [2.5, 0.25]
    counts = [Counter(itertools.chain(*drawn(sizes, rates, 4, 7, epoch))) for epoch in range(40)]
    for count in counts:
        assert all(count[row] in (2, 3) for row in range(10))
        assert sum(count[row] for row in range(10)) == 25
        assert sum(count[row] for row in range(10, 30)) == 5
    # Drawn anew in each epoch: over 40 of them none is left out. (0.75 ** 40 = 1e-5 for each of 20.)
    assert all(sum(count[row] for count in counts) for row in range(30))


@pytest.mark.parametrize(("sizes", "rates"), [([10], [1.0]), ([10, 20], [2.5, 0.25]), ([3], [0.01])])
def test_every_epoch_has_the_same_number_of_batches(sizes, rates):
    for epoch in range(3):
        assert len(epoch_batches(sizes, rates, 4, 7, epoch)) == batches_per_epoch(sizes, rates, 4)


@pytest.mark.parametrize("rates", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, np.inf], [1.0, np.nan]])
def test_refuses_rates_that_make_no_sense(rates):
    with pytest.raises(ValueError, match="expected 2 sampling rates above 0"):
        check_rates(rates, 2)
