"""Finds out how a picture was scaled by somebody else.

An extension of the published code, for edits that were enlarged or reduced before they are pasted:
what differs from the original by the manner of scaling alone is no edit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..pictures.resampling import enlarge_to, reduce_to

LARGEST_TRIED = 1024
"""Side in pixels up to which all manners are tried; a larger picture is taken for our own."""

ALIKE = 0.02
"""Difference from which a pixel counts as edited, and no longer says how it was scaled."""


def scaled_alike(picture: Tensor, edited: Tensor) -> Tensor:
    """`picture` [1,3,S,S] at the size of `edited` [1,3,s,s], scaled in the manner it was.

    Tries the usual filters and takes the one that comes closest to `edited`. Values in 0..1.
    """
    size = edited.shape[-1]
    if picture.shape[-1] == size:
        return picture
    found, closest = picture, float("inf")
    for candidate in _scaled(picture, size):
        distance = float((candidate - edited).abs().clamp_max(ALIKE).mean())
        if distance < closest:
            found, closest = candidate, distance
        if distance == 0 or size > LARGEST_TRIED:
            break
    return found


def _scaled(picture: Tensor, size: int) -> Iterator[Tensor]:
    """Every candidate [1,3,size,size] in 0..1, our own manner first."""
    reduced = picture.shape[-1] >= size
    yield reduce_to(picture, size) if reduced else enlarge_to(picture, size).clamp(0, 1)
    for mode in ("bilinear", "bicubic"):
        for antialias in (True, False) if reduced else (False,):
            yield _interpolated(picture, size, mode=mode, align_corners=False, antialias=antialias)
    for mode in ("nearest-exact", "nearest", "area"):
        yield _interpolated(picture, size, mode=mode)
    for offset in (0.0, 0.5):  # ComfyUI cuts off to whole grey levels, other programs round
        yield _lanczos(picture, size, offset)


def _interpolated(picture: Tensor, size: int, **manner: bool | str) -> Tensor:
    # Apple's backend lacks some of these filters.
    there = picture.cpu() if picture.device.type == "mps" else picture
    scaled = F.interpolate(there, (size, size), **manner)  # type: ignore[arg-type]
    return scaled.clamp(0, 1).to(picture.device)


def _lanczos(picture: Tensor, size: int, offset: float) -> Tensor:
    """In 8 bits as Pillow does it, which clips between rows and columns: it shows at hard edges."""
    levels = (picture[0] * 255 + offset).clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
    scaled = Image.fromarray(levels).resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(scaled)).to(picture).div(255).permute(2, 0, 1)[None]
