"""Readings of pictures: kept for renderings, compared in degrees and distances."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from magicface_training.evaluation.exact import readings
from magicface_training.evaluation.exact.readings import (
    Reader,
    Seen,
    identity_between,
    pose_between,
)


class Counting(Reader):
    """Counts what it has to look at."""

    looked = 0

    def __init__(self, kept: int = readings.KEPT) -> None:
        super().__init__(None, kept=kept)  # type: ignore[arg-type]

    def read(self, picture: torch.Tensor) -> Seen | None:
        self.looked += 1
        return None


def test_a_rendering_is_read_once() -> None:
    reader, pictures = Counting(), torch.rand(3, 1, 3, 8, 8)
    for picture in (*pictures, *pictures):
        assert reader.rendered(picture) is None
    assert reader.looked == 3


def test_the_oldest_reading_is_dropped() -> None:
    reader, pictures = Counting(kept=2), torch.rand(3, 1, 3, 8, 8)
    for picture in pictures:
        reader.rendered(picture)
    reader.rendered(pictures[2])
    assert reader.looked == 3
    reader.rendered(pictures[0])
    assert reader.looked == 4


def seen(*pose: float) -> Seen:
    return Seen(np.full(128, pose[0] / 128**0.5), np.zeros(12), np.array(pose))


def test_angles_are_compared_around_the_circle() -> None:
    assert pose_between(seen(179, 0, 0), seen(-178, 0, 0)) == pytest.approx(3 / 3**0.5)
    assert pose_between(seen(1, 2, 3), seen(4, 5, 6)) == pytest.approx(3.0)
    assert identity_between(seen(0, 0, 0), seen(2, 0, 0)) == pytest.approx(2.0)
    assert pose_between(None, seen(1, 2, 3)) is identity_between(seen(1, 2, 3), None) is None
