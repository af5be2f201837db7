"""Scene cuts: where the colours of the whole picture change from one frame to the next."""

from __future__ import annotations

import numpy as np

BINS = 16  # levels of each colour


class SceneCuts:
    """Numbers the scenes of a video whose frames it is shown in order."""

    def __init__(self, change: float) -> None:
        """change: distance 0..1 of neighbouring frames' histograms from which a scene is new."""
        self.change = change
        self.scene = 0
        self._last: np.ndarray | None = None

    def see(self, thumbnail: np.ndarray) -> int:
        """The scene of the next frame, [h,w,3] uint8, from 0."""
        histogram = colour_histogram(thumbnail)
        if self._last is not None and histogram_distance(self._last, histogram) >= self.change:
            self.scene += 1
        self._last = histogram
        return self.scene


def colour_histogram(picture: np.ndarray) -> np.ndarray:
    """Picture [h,w,3] uint8 -> shares [3,BINS] of the pixels for each colour."""
    levels = picture.reshape(-1, 3) // (256 // BINS)
    counts = [np.bincount(levels[:, colour], minlength=BINS) for colour in range(3)]
    return np.stack(counts) / len(levels)


def histogram_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Share of the pixels, 0..1, that would have to change their level, mean over the colours."""
    return float(np.abs(first - second).sum() / 2 / len(first))
