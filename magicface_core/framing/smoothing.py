"""Steady crops for video: the place of the square averaged over neighbouring frames."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..pictures.crop import Crop

JUMP = 0.5
"""Way of a crop's centre between two frames, in sides, from which it is another face or scene."""

GROWTH = 1.5
"""Growth of a crop's side between two frames that means the same."""


def smooth_crops(crops: Sequence[Crop | None], reach: int) -> list[Crop | None]:
    """Moving average of centre, side and angle over `reach` frames before and after.

    Frames without a crop stay without. Nothing is averaged across a cut (see JUMP and GROWTH).
    """
    if reach == 0:
        return list(crops)
    smoothed: list[Crop | None] = [None] * len(crops)
    for scene in _scenes(crops):
        for number in scene:
            near = [crop for other, crop in scene.items() if abs(other - number) <= reach]
            smoothed[number] = _mean(near)
    return smoothed


def _scenes(crops: Sequence[Crop | None]) -> list[dict[int, Crop]]:
    """Crops by frame number, cut where the next one is not the same face moving on."""
    scenes: list[dict[int, Crop]] = []
    last = None
    for number, crop in enumerate(crops):
        if crop is None:
            continue
        if last is None or _is_cut(last, crop):
            scenes.append({})
        scenes[-1][number] = crop
        last = crop
    return scenes


def _is_cut(first: Crop, second: Crop) -> bool:
    small, large = sorted((first.side, second.side))
    return math.dist(first.center, second.center) > JUMP * small or large > GROWTH * small


def _mean(crops: Sequence[Crop]) -> Crop:
    x, y = np.mean([crop.center for crop in crops], axis=0).tolist()
    angles = [crop.angle for crop in crops]
    angle = math.atan2(sum(map(math.sin, angles)), sum(map(math.cos, angles)))
    side = sum(crop.side for crop in crops) / len(crops)
    return Crop((x, y), side, crops[0].source_size, angle)
