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
    height, width = picture.shape[-2:]
    shift = F.interpolate(vectors, (height, width), mode="bilinear", align_corners=False)
    columns = _pixel_centres(width, picture)
    rows = _pixel_centres(height, picture)[:, None]
    grid = torch.stack([columns + shift[:, 0], rows + shift[:, 1]], dim=-1)
    return F.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def _pixel_centres(count: int, like: Tensor) -> Tensor:
    """From -1 to 1 along a side."""
    places = torch.arange(count, device=like.device, dtype=like.dtype)
    return (2 * places + 1) / count - 1
