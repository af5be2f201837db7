"""Photographic looks."""

from __future__ import annotations

import numpy as np
import pytest
from magicface_training.data.looks import Look


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rows, columns = np.mgrid[:48, :48] / 47
    colours = np.stack([rows, columns, 1 - rows], -1)
    return (255 * colours).astype(np.uint8)


def test_a_look_is_the_same_for_every_frame(picture: np.ndarray) -> None:
    for seed in range(20):
        look = Look.sample(np.random.default_rng(seed))
        assert np.array_equal(look.apply(picture), look.apply(picture.copy()))


def test_some_looks_are_grey_and_most_are_not(picture: np.ndarray) -> None:
    spreads = []
    for seed in range(200):
        seen = Look.sample(np.random.default_rng(seed)).apply(picture).astype(int)
        spreads.append(np.median(seen.max(2) - seen.min(2)))
    assert 0.03 < np.mean(np.array(spreads) < 3) < 0.25


def test_looks_differ(picture: np.ndarray) -> None:
    seen = [Look.sample(np.random.default_rng(seed)).apply(picture) for seed in range(8)]
    assert all(not np.array_equal(seen[0], other) for other in seen[1:])
