"""What lies over a face: glasses, and anything that is not its own skin.

Heuristics without a network of their own, tuned on rendered heads (validation seeds from 10000).
How often they are right is measured by ``benchmarks/preflight_rates.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..perception.faces import EYE_CORNERS
from ..perception.morphology import erode
from ..perception.segmentation import (
    FOREHEAD,
    HAIR_DISTANCE,
    OVAL,
    SKIN,
    polygon_mask,
    skin_distance,
)
from ..pictures.resampling import gaussian_blur, resample
from .photograph import grey_levels

if TYPE_CHECKING:
    from ..perception.faces import Face
    from ..perception.stack import Perception

RIM = 0.02
"""Width of the oval's edge that is not looked at, a share of the face's width."""

# Outlines of what is not skin: eyes with their brows, mouth, nostrils.
FEATURES: tuple[tuple[int, ...], ...] = (
    (46, 70, 63, 105, 66, 107, 55, 133, 153, 145, 33),
    (276, 300, 293, 334, 296, 336, 285, 362, 380, 374, 263),
    (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
    (4, 98, 2, 327),
)

UNIT = 128
"""Pixels, in the strips below, of the distance between the outer eye corners."""

BRIDGE, BRIDGE_WIDTH = (-0.22, 0.28), 0.44
"""The strip over the bridge of the nose: its rows in units from between the eyes, its share of the
gap between the inner eye corners."""

UNDER_EYE = (0.06, 0.42)
"""The strips below the eyes, in units from the lower lid."""

LINES = (3, 5)
"""Half widths, in pixels of a strip, of the lines looked for."""

LINE_SHARE = 0.4
"""A rim runs below the whole eye: the share of a strip's columns that may show less of it."""

DARKEST = 0.08
"""Grey level below which contrast is not enlarged any more, which would only enlarge noise."""

EYES: tuple[tuple[int, int, int], ...] = ((33, 133, 145), (362, 263, 374))
"""Image-left corner, image-right corner and lower lid of either eye."""

BETWEEN_EYES, INNER_CORNERS, HEIGHT = 168, (133, 362), (10, 152)


def covered_region(picture: Tensor, face: Face, perception: Perception) -> tuple[Tensor, Tensor]:
    """What of a face is hidden: [1,1,H,W] bool, and the face's oval, of which it is a part.

    Hidden is what the face parser does not call face, and skin of another colour than the face's
    own: hair, masks, microphones. Things of the colour of skin, hands above all, are not noticed.

    Args:
        picture: [1,3,H,W] float 0..1.
        face: in its pixels.
        perception: finds the face's region.
    """
    size = (picture.shape[-2], picture.shape[-1])

    def area(vertices: Sequence[int]) -> Tensor:
        return polygon_mask(face.mesh[list(vertices), :2], size).to(picture.device)

    outline = area(OVAL)
    oval = erode(outline, max(1, round(RIM * face.width)))
    samples = (area(SKIN[0]) | area(SKIN[1]) | area(SKIN[2])) & outline
    distance = skin_distance(picture, samples, area(FOREHEAD) & outline)
    skin = oval.clone()
    for feature in FEATURES:
        skin &= ~area(feature)
    parsed = perception.face_mask(picture, face).to(picture.device) > 0.5
    return oval & (~parsed | (skin & (distance > HAIR_DISTANCE))), oval


def rim_contrast(picture: Tensor, face: Face) -> float:
    """How much darker lines are that run where the rims of glasses do, 0 (as their skin) to 1.

    The geometric mean of the line over the bridge of the nose and that below the eyes (the clearer
    one): wrinkles and bags make one of them, glasses both. Rimless glasses make neither.

    Args:
        picture: [1,3,H,W] float 0..1.
        face: in its pixels.
    """
    mesh = face.mesh
    points = mesh[:, :2]
    unit = float(np.linalg.norm(np.subtract(*mesh[list(EYE_CORNERS)])))
    top, chin = HEIGHT
    down = (points[chin] - points[top]) / np.linalg.norm(mesh[chin] - mesh[top]) * unit
    inner = BRIDGE_WIDTH * (points[INNER_CORNERS[1]] - points[INNER_CORNERS[0]])
    corner = points[BETWEEN_EYES] - inner / 2 + BRIDGE[0] * down
    grey = grey_levels(picture)
    bridge = _strip(grey, corner, inner, (BRIDGE[1] - BRIDGE[0]) * down, unit)
    # A bridge of glasses darkens whole rows; the median passes over what is not as wide.
    over_nose = float(_lines(bridge).median(-1).values.max())
    below = [_line_below_eye(grey, points, eye, down, unit) for eye in EYES]
    return math.sqrt(max(over_nose, 0.0) * max(*below, 0.0))


def _line_below_eye(
    grey: Tensor, points: np.ndarray, eye: tuple[int, int, int], down: np.ndarray, unit: float
) -> float:
    left, right, lid = eye
    across = points[right] - points[left]
    lowered = points[lid] - (points[left] + points[right]) / 2
    corner = points[left] + lowered + UNDER_EYE[0] * down
    strip = _strip(grey, corner, across, (UNDER_EYE[1] - UNDER_EYE[0]) * down, unit)
    strongest = _lines(gaussian_blur(strip, 1.5)).amax(-2).flatten()
    return float(torch.quantile(strongest, LINE_SHARE))


def _strip(
    grey: Tensor, corner: np.ndarray, across: np.ndarray, down: np.ndarray, unit: float
) -> Tensor:
    """A parallelogram of the picture as [1,1,h,w], `unit` pixels becoming UNIT."""
    width, height = (
        max(2 * max(LINES) + 1, round(float(np.linalg.norm(side)) / unit * UNIT))
        for side in (across, down)
    )
    matrix = np.column_stack([across / width, down / height, corner])
    return resample(grey, matrix, (height, width))


def _lines(strip: Tensor) -> Tensor:
    """How much darker each pixel [1,1,h,w] is than those above and below it, as a share; 0 at the
    strip's ends."""
    strongest = torch.zeros_like(strip)
    for half in LINES:
        around = (strip[..., : -2 * half, :] + strip[..., 2 * half :, :]) / 2
        middle = strip[..., half:-half, :]
        darker = (around - middle) / around.clamp_min(DARKEST)
        inside = strongest[..., half:-half, :]
        strongest[..., half:-half, :] = torch.maximum(inside, darker)
    return strongest
