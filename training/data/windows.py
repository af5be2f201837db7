"""Square windows of pictures, for training that starts with the face alone."""

from __future__ import annotations

import numpy as np
from torch import Tensor

GRID = 8  # latents stay where they are in the picture
Window = tuple[slice, slice]


def draw_window(rng: np.random.Generator, size: int, window: int) -> Window:
    """Rows and columns of a centred square, moved by at most 8 pixels on a grid of 8.

    The whole picture where ``window`` is 0 or no smaller than ``size``; nothing is drawn then.
    """
    if not 0 < window < size:
        return slice(None), slice(None)
    middle = (size - window) // 2
    top, left = (int(np.clip(middle + GRID * rng.integers(-1, 2), 0, 2 * middle)) for _ in range(2))
    return slice(top, top + window), slice(left, left + window)


def cut(pictures: Tensor, window: Window) -> Tensor:
    """The window of pictures [...,H,W]."""
    return pictures[..., window[0], window[1]]
