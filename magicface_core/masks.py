"""Growing a face mask, so that an edit has room for what it moves.

An extension for checkpoints that ask for it in ``magicface.json`` (``mask_dilation``,
``chin_extension``; both 0 in released checkpoints): a jaw that drops leaves the mask of the closed
mouth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def grow_mask(
    mask: Tensor, down: tuple[float, float], dilation: float = 0.0, extension: float = 0.0
) -> Tensor:
    """Dilate a mask and sweep it towards the chin.

    Args:
        mask: [B,1,H,W] in 0..1.
        down: unit vector (x, y) from the eyes to the mouth in the picture.
        dilation: pixels added on every side (rounded).
        extension: pixels swept along ``down`` (rounded).

    Returns:
        The grown mask [B,1,H,W], nowhere below the input.
    """
    radius = round(dilation)
    grown = F.max_pool2d(mask, 2 * radius + 1, 1, radius) if radius else mask
    swept = grown
    for step in range(1, round(extension) + 1):
        shift = (round(down[0] * step), round(down[1] * step))
        swept = torch.maximum(swept, shifted(grown, *shift))
    return swept


def shifted(mask: Tensor, dx: int, dy: int) -> Tensor:
    """Move the content of ``mask`` [B,1,H,W] by whole pixels, filling with zeros."""
    height, width = mask.shape[-2:]
    moved = torch.zeros_like(mask)
    if abs(dx) >= width or abs(dy) >= height:
        return moved
    source = mask[..., max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
    moved[..., max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)] = source
    return moved
