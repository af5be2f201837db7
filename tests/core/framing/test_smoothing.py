"""Steady crops for video."""

from __future__ import annotations

import math

import numpy as np
import pytest

from magicface_core.framing.smoothing import smooth_crops
from magicface_core.pictures.crop import Crop

SIZE = (1000, 800)


def crop(x: float, y: float = 300.0, side: float = 200.0, angle: float = 0.0) -> Crop:
    return Crop((x, y), side, SIZE, angle)


def test_without_reach_nothing_changes() -> None:
    crops = [crop(1), None, crop(400)]
    assert smooth_crops(crops, 0) == crops


def test_moving_average_of_place_side_and_angle() -> None:
    crops = [crop(100, 300, 200, 0.0), crop(106, 294, 206, 0.3), crop(103, 303, 212, 0.6)]
    first, second, third = smooth_crops(crops, 1)
    assert first is not None
    assert second is not None
    assert third is not None
    assert second.center == pytest.approx((103, 299))
    assert second.side == pytest.approx(206)
    assert second.angle == pytest.approx(0.3)
    assert first.center == pytest.approx((103, 297))
    assert third.side == pytest.approx(209)
    assert {square.source_size for square in (first, second, third)} == {SIZE}


def test_jitter_shrinks_and_still_crops_stay() -> None:
    steps = np.random.default_rng(0).normal(0, 5, 60)
    smoothed = smooth_crops([crop(500 + step) for step in steps], 4)
    centers = [square.center[0] for square in smoothed if square is not None]
    assert np.std(np.diff(centers)) < 0.25 * np.std(np.diff(steps))
    still = smooth_crops([crop(123.4, angle=0.2)] * 5, 3)
    for square in still:
        assert square is not None
        assert square.center == pytest.approx((123.4, 300))
        assert square.angle == pytest.approx(0.2)


def test_angles_average_across_the_half_turn() -> None:
    smoothed = smooth_crops([crop(1, angle=math.pi - 0.1), crop(1, angle=-math.pi + 0.1)], 1)
    for square in smoothed:
        assert square is not None
        assert abs(square.angle) == pytest.approx(math.pi)


def test_frames_without_a_face_stay_without() -> None:
    smoothed = smooth_crops([crop(100), None, crop(110)], 2)
    assert smoothed[1] is None
    assert smoothed[0] is not None
    assert smoothed[0].center[0] == pytest.approx(105)
    assert smooth_crops([None, None], 3) == [None, None]


@pytest.mark.parametrize("other", [crop(400), crop(100, side=400), crop(100, side=90)])
def test_nothing_is_averaged_across_a_cut(other: Crop) -> None:
    smoothed = smooth_crops([crop(100), crop(100), other, other], 3)
    for square, expected in zip(smoothed, [crop(100), crop(100), other, other], strict=True):
        assert square is not None
        assert square.center == pytest.approx(expected.center)
        assert square.side == pytest.approx(expected.side)
