"""Pictures whose pixels are fetched from elsewhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def fetched(picture: Tensor, vectors: Tensor) -> Tensor:
    """Each pixel of ``picture`` [B,C,H,W] taken from where ``vectors`` [B,2,h,w] point.

    Vectors are (x, y) in half sides of the picture, as in ``grid_sample``, and are interpolated
    between their places; beyond the border the picture goes on as its last pixels.
    """
    shift = F.interpolate(vectors, picture.shape[-2:], mode="bilinear", align_corners=False)
    return fetched_from(picture, pixel_grid(picture) + shift)


def fetched_from(picture: Tensor, places: Tensor) -> Tensor:
    """Colours [B,C,h,w] of ``picture`` [B,C,H,W] at ``places`` [B,2,h,w], as in ``pixel_grid``."""
    grid = places.permute(0, 2, 3, 1)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def pixel_grid(picture: Tensor) -> Tensor:
    """Where the pixels' centres [1,2,H,W] (x, y) of ``picture`` are, from -1 to 1."""
    height, width = picture.shape[-2:]
    columns, rows = _pixel_centres(width, picture), _pixel_centres(height, picture)[:, None]
    return torch.stack([columns.expand(height, -1), rows.expand(-1, width)])[None]


def _pixel_centres(count: int, like: Tensor) -> Tensor:
    """From -1 to 1 along a side."""
    places = torch.arange(count, device=like.device, dtype=like.dtype)
    return (2 * places + 1) / count - 1
