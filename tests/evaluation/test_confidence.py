"""Bootstrap confidence intervals, against cases whose interval is known."""

import numpy as np
import pytest

from dpr_tf.evaluation import bootstrap_interval


def test_equals_a_loop_that_draws_questions():
    values = np.random.default_rng(1).random((11, 3))
    generator = np.random.default_rng(7)
    means = np.array([values[generator.integers(11, size=11)].mean(axis=0) for _ in range(200)])
    found = bootstrap_interval(values, level=0.9, resamples=200, seed=7)
    np.testing.assert_allclose(found.low, np.quantile(means, 0.05, axis=0))
    np.testing.assert_allclose(found.high, np.quantile(means, 0.95, axis=0))


def test_comes_near_the_normal_interval():
    # 400 of 1,000 hits: standard error sqrt(0.4 * 0.6 / 1000) = 0.0155, times 1.96 = 0.0304
    low, high = bootstrap_interval(np.arange(1000) < 400, resamples=4000)
    assert low == pytest.approx(0.4 - 0.0304, abs=0.003)
    assert high == pytest.approx(0.4 + 0.0304, abs=0.003)


def test_covers_the_true_mean_as_often_as_it_says():
    generator = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(generator.random(60) < 0.3, level=0.8, resamples=200, seed=seed)
        covered += low <= 0.3 <= high
    assert 0.7 < covered / 200 < 0.9


def test_no_spread_is_a_point():
    assert bootstrap_interval([1, 1, 1]) == (1.0, 1.0)


def test_same_seed_same_interval():
    values = np.random.default_rng(0).random(50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([], {}, "no questions"),
        (0.5, {}, "no questions"),
        ([1.0], {"level": 1.0}, "level between 0 and 1"),
        ([1.0], {"resamples": 0}, "at least 1 resample"),
    ],
)
def test_refuses(values, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, **options)
