"""What a photograph is like where its face is: black areas, softness, light.

Limits and advice are in ``preflight_rules.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..perception.morphology import connected_to, open_mask
from ..pictures.resampling import gaussian_blur

BLACK = 10 / 255
"""Every channel at most this: black as bars and filled corners are, not dark as hair is."""

BLACK_SIZE = 256
"""Side in pixels at which black areas are looked for."""

THINNEST_BLACK = 4
"""Black areas thinner than about twice so many pixels of these do not count."""

BURNT_OUT = 0.97
"""Grey level from which nothing is left to see."""

# Detail (see `softness`) of 70 rendered faces, blurred by Gaussians of so many pixels, with noise
# of 0.006 added; medians. Fifteen sharp photographs and portraits read 0.57 to 0.71.
DETAIL = (0.348, 0.390, 0.472, 0.536, 0.611, 0.718)
DETAIL_BLUR = (4.0, 3.0, 2.0, 1.5, 1.0, 0.0)


PLAIN = 1e-4
"""Mean size of detail, range 0..1, below which there is none, only rounding."""


@dataclass(frozen=True)
class FaceLight:
    """The light on a face: grey level 0..1 of its brightest twentieth, and the burnt out share."""

    brightest: float
    burnt_out: float


def grey_levels(picture: Tensor) -> Tensor:
    """Brightness [B,1,H,W] of pictures [B,3,H,W], as Rec. 601 weighs the channels."""
    weights = picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (picture * weights).sum(1, keepdim=True)


def black_areas(square: Tensor) -> Tensor:
    """Solid black that reaches the edge of a square picture [1,3,S,S]: [1,1,256,256] bool.

    Bars, filled corners of turned pictures, black walls; also black clothes and hair that have no
    shading left.
    """
    small = F.interpolate(square, (BLACK_SIZE, BLACK_SIZE), mode="area")
    black = open_mask(small.amax(1, keepdim=True) <= BLACK, THINNEST_BLACK)
    border = torch.ones_like(black)
    border[..., 1:-1, 1:-1] = False
    return connected_to(border & black, black)


def softness(square: Tensor, region: Tensor) -> float:
    """Blur of a region of a picture, as the deviation in pixels of a Gaussian, 0 to 4.

    Compares detail about one pixel fine with detail of twice that size. Grain looks like detail,
    so grainy pictures are softer than they measure.

    Args:
        square: [1,3,S,S] float 0..1, not enlarged.
        region: [1,1,S,S] bool, where to look.
    """
    fine, middle, coarse = (gaussian_blur(grey_levels(square), width) for width in (1.0, 2.0, 4.0))
    detail = float(((fine - middle)[region] ** 2).mean())
    larger = float(((middle - coarse)[region] ** 2).mean())
    if not larger > PLAIN**2:  # nor where the region is empty
        return DETAIL_BLUR[0]
    return float(np.interp((detail / larger) ** 0.5, DETAIL, DETAIL_BLUR))


def face_light(square: Tensor, region: Tensor) -> FaceLight:
    """The light on a region [1,1,S,S] bool of a picture [1,3,S,S]."""
    levels = grey_levels(square)[region]
    if not len(levels):
        return FaceLight(0.0, 0.0)
    return FaceLight(
        brightest=float(np.quantile(levels.cpu().numpy(), 0.95)),
        burnt_out=float((levels >= BURNT_OUT).float().mean()),
    )
