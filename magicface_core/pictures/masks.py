"""Masks: checked when they come from outside, grown so that an edit has room for what it moves.

Growing is an extension for checkpoints that ask for it in ``magicface.json`` (``mask_dilation``,
``chin_extension``; both 0 in released checkpoints): a jaw that drops leaves the mask of the closed
mouth.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ImageError
from .images import OVERSHOOT


def to_masks(mask: Tensor) -> Tensor:
    """Turn masks [H,W], [B,H,W] or [B,1,H,W] into a new float32 tensor [B,1,H,W] in 0..1.

    Floating point masks hold 0..1 (small overshoot is clipped), boolean ones are taken as 0 and 1.
    Raises ImageError for anything else, and for NaN or infinite values.
    """
    shape = list(mask.shape)
    if not (mask.ndim in (2, 3) or (mask.ndim == 4 and shape[1] == 1)):
        raise ImageError(f"A mask is [H, W], [B, H, W] or [B, 1, H, W], not {shape}.")
    if 0 in shape:
        raise ImageError(f"The mask has no pixels: its shape is {shape}.")
    if not mask.is_floating_point() and mask.dtype != torch.bool:
        raise ImageError(f"A mask holds floating point values 0..1, not {mask.dtype}.")
    values = mask.detach().to(torch.float32, copy=True)
    if not values.isfinite().all():
        raise ImageError("The mask holds NaN or infinite values.")
    low, high = float(values.min()), float(values.max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT:
        raise ImageError(f"A mask holds values 0..1, not {low:g}..{high:g}: divide by its maximum.")
    return values.clamp_(0, 1).reshape(-1, 1, *shape[-2:])


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
