"""Vectorised intervals against the plain bootstrap of `metrics`."""

from __future__ import annotations

import numpy as np
import pytest
from magicface_training.evaluation.intervals import (
    differences,
    mean,
    ratios,
    sums_by_cluster,
    weights,
)
from magicface_training.evaluation.metrics import ratio_interval


def test_same_numbers_as_the_plain_bootstrap() -> None:
    rng = np.random.default_rng(2)
    sums, totals = rng.uniform(0, 5, (8, 3)), rng.uniform(5, 9, (8, 3))
    values, low, high = ratios(sums, totals, weights(8, 300, seed=4))
    for column in range(3):
        expected = ratio_interval(sums[:, column], totals[:, column], resamples=300, seed=4)
        assert (low[column], high[column]) == pytest.approx(expected)
        assert values[column] == pytest.approx(sums[:, column].sum() / totals[:, column].sum())


def test_a_mean_leaves_gaps_out_and_counts_the_rest() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0])
    found = mean(values, np.array([0, 0, 1, 1]), 2, weights(2, 100))
    assert found.value == pytest.approx(3.0)
    assert found.count == 3
    assert (found.low, found.high) == pytest.approx((1.0, 4.0))


def test_one_person_has_no_interval_and_nothing_no_value() -> None:
    alone = mean(np.array([1.0, 3.0]), np.array([0, 0]), 1, weights(1, 10))
    assert alone.value == 2.0
    assert np.isnan([alone.low, alone.high]).all()
    assert np.isnan(mean(np.array([np.nan]), np.array([0]), 2, weights(2, 10)).value)


def test_pairing_sees_what_two_separate_intervals_hide() -> None:
    """Faces differ far more than the two editors do; within a face one is always better by 0.1."""
    hard = np.random.default_rng(1).uniform(0, 10, 12)
    person, drawn = np.arange(12), weights(12, 1000)
    first, second = (sums_by_cluster(values[:, None], person, 12) for values in (hard + 0.1, hard))
    value, low, high = differences(first, second, drawn)
    assert (value[0], low[0], high[0]) == pytest.approx((-0.1, -0.1, -0.1))
    _, apart_low, apart_high = ratios(*first, drawn)
    assert apart_high[0] - apart_low[0] > 1
