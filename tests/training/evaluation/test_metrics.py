"""The metrics against values worked out by hand, and the coverage of the bootstrap."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from magicface_training.evaluation.metrics import (
    ChangedError,
    bootstrap_interval,
    changed_error,
    identity_distance,
    median_interval,
    pooled,
    ratio_interval,
)

from magicface_core.report.background import background_error


def picture(*pixels: tuple[float, float, float]) -> torch.Tensor:
    """A picture [1,3,1,W] of the given RGB pixels."""
    return torch.tensor(pixels).T[None, :, None, :]


SOURCE = picture((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))
ANSWER = picture((0.9, 0.5, 0.5), (0.7, 0.5, 0.5), (0.8, 0.8, 0.8))


def test_changed_pixels_are_chosen_by_the_mean_over_channels() -> None:
    """Means of 0.133, 0.067 and 0.6: the second pixel changes by 0.2 in red, yet does not count."""
    copy = changed_error(SOURCE, ANSWER, SOURCE)
    assert copy.pixels == 2
    assert copy.change == pytest.approx(0.4 / 3 + 0.6)
    assert copy.ratio == pytest.approx(1.0)


def test_all_channels_of_a_changed_pixel_count() -> None:
    """The edit errs in green of the first pixel, where source and answer agree."""
    edit = picture((0.9, 0.8, 0.5), (0.0, 0.0, 0.0), (0.8, 0.8, 0.8))
    error = changed_error(edit, ANSWER, SOURCE)
    assert error.error == pytest.approx(0.1)
    assert error.ratio == pytest.approx(0.1 / (0.4 / 3 + 0.6))


def test_perfect_edit_is_zero_and_half_way_is_half() -> None:
    assert changed_error(ANSWER, ANSWER, SOURCE).ratio == 0.0
    assert changed_error((SOURCE + ANSWER) / 2, ANSWER, SOURCE).ratio == pytest.approx(0.5)


def test_nothing_changed_has_no_ratio() -> None:
    assert math.isnan(changed_error(SOURCE, SOURCE, SOURCE).ratio)


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shapes"):
        changed_error(SOURCE[..., :2], ANSWER, SOURCE)


def test_pooling_sums_both_parts() -> None:
    """A tiny edit done badly and a large one done well: (1 + 1) / (1 + 9), not (1 + 1/9) / 2."""
    total = pooled([ChangedError(1.0, 1.0, 5), ChangedError(1.0, 9.0, 45)])
    assert total.ratio == pytest.approx(0.2)
    assert total.pixels == 50
    assert math.isnan(pooled([]).ratio)


def test_background_error_looks_outside_the_mask_only() -> None:
    mask = torch.tensor([[[[1.0, 0.5, 0.0]]]])
    edit = SOURCE.clone()
    edit[..., :2] = 1.0
    assert background_error(edit, SOURCE, mask).largest == 0.0
    edit[0, 0, 0, 2] += 0.3
    error = background_error(edit, SOURCE, mask)
    assert error.largest == pytest.approx(0.3)
    assert error.rmse == pytest.approx(0.3 / math.sqrt(3))
    assert math.isnan(background_error(edit, SOURCE, torch.ones(1, 1, 1, 3)).rmse)


def test_identity_distance_is_euclidean() -> None:
    assert identity_distance(np.array([0.0, 3.0]), np.array([4.0, 0.0])) == pytest.approx(5.0)


def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    """Ratios of 40 identities whose edits share an error; 95 % intervals, 200 repetitions."""
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(200):
        changes = rng.uniform(50, 150, 40)
        errors = changes * (0.6 + 0.1 * rng.standard_normal(40))
        low, high = ratio_interval(errors, changes, resamples=300)
        covered += low <= 0.6 <= high
    assert 0.87 <= covered / 200 <= 0.99


def test_bootstrap_of_clusters_is_wider_than_of_single_edits() -> None:
    """Twenty edits of a person repeat that person's error: they are one observation, not twenty."""
    errors = np.random.default_rng(3).normal(0.3, 0.1, 20)
    edits = np.repeat(errors[:, None], 20, axis=1)
    low, high = median_interval(edits)
    naive_low, naive_high = median_interval(edits.reshape(-1, 1))
    assert high - low > 2 * (naive_high - naive_low)


def test_bootstrap_is_repeatable_and_seeded() -> None:
    values = np.random.default_rng(5).normal(size=10)

    def mean(indices: np.ndarray) -> float:
        return float(values[indices].mean())

    assert bootstrap_interval(10, mean) == bootstrap_interval(10, mean)
    assert bootstrap_interval(10, mean) != bootstrap_interval(10, mean, seed=1)


def test_bootstrap_without_enough_data_is_undefined() -> None:
    assert np.isnan(bootstrap_interval(1, lambda indices: 1.0)).all()
    assert np.isnan(bootstrap_interval(5, lambda indices: math.nan)).all()


def test_median_leaves_gaps_out() -> None:
    values = np.array([[0.2, math.nan], [0.2, 0.2], [math.nan, math.nan]])
    assert median_interval(values) == pytest.approx((0.2, 0.2))
