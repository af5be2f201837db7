"""Where a face sits in a picture: the crop square, and the published preparation's crop.

Positions are continuous (the centre of the first pixel is at 0.5), except in the functions named
`official_*`, which reproduce the published preparation script and follow OpenCV's integer centres.

Deviations from the published script:
- the script takes the box of an SCRFD detector; `crop_for_face` re-creates that box from the face
  mesh (the two constants are means over the authors' three published crops);
- the script fills what lies outside the picture with black; here the square is moved inside the
  picture where it fits, and mirrored where it does not;
- a face tilted by more than 25 degrees in the picture plane is cropped upright.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..pictures.affine import (
    invert_affine,
)
from ..pictures.crop import Crop
from ..pictures.resampling import warp_affine_fixed_point

if TYPE_CHECKING:
    from ..perception.faces import Face

OFFICIAL_SIZE = 512
OFFICIAL_BOX = 352  # pixels of the 512 crop that 1.5 times the detector's box width takes
OFFICIAL_FACE_FRACTION = OFFICIAL_BOX / 1.5 / OFFICIAL_SIZE

BOX_WIDTH_PER_MESH_WIDTH = 1.025
BOX_RISE_PER_MESH_HEIGHT = 0.073
LARGEST_TILT = math.radians(25)

FACE_MARGIN = 0.1
"""Sides of the crop around the mesh that a turned square keeps: a raised brow, a dropped jaw."""

PLACES = 33
"""Places that are tried between a turned square's own and the one inside the picture."""


def crop_for_face(
    face: Face,
    image_size: tuple[int, int],
    face_fraction: float = OFFICIAL_FACE_FRACTION,
    *,
    offset: tuple[float, float] = (0.0, 0.0),
) -> Crop:
    """The published framing of a face.

    Args:
        face: a face in pixels of the picture.
        image_size: (width, height) of the picture.
        face_fraction: width of the detector's box as a share of the square's side; 0.4583 as
            published.
        offset: shift of the square's centre from the box's centre, in sides (x right, y down); for
            checkpoints whose training frames do not centre the box.

    Returns:
        The square, moved so that as little of it as possible lies outside the picture. A turned
        square moves no further than it still holds all that the picture shows of the face.
    """
    angle = face.roll if abs(face.roll) > LARGEST_TILT else 0.0
    rotation = Crop((0.0, 0.0), 1.0, image_size, angle).rotation
    upright = face.mesh[:468, :2] @ rotation
    low, high = upright.min(0), upright.max(0)
    width, height = high - low
    side = float(BOX_WIDTH_PER_MESH_WIDTH * width / face_fraction)
    center = (low + high) / 2 - np.array([0.0, BOX_RISE_PER_MESH_HEIGHT * height])
    own = rotation @ (center + np.asarray(offset) * side)
    reach = side / 2 * (abs(math.cos(angle)) + abs(math.sin(angle)))
    ends = zip(own, image_size, strict=True)
    inside = np.array([_moved_inside(place, reach, length) for place, length in ends])
    crop = Crop((float(inside[0]), float(inside[1])), side, image_size, angle)
    return _holding(crop, own, low, high) if angle else crop


def _holding(crop: Crop, own: np.ndarray, low: np.ndarray, high: np.ndarray) -> Crop:
    """The crop, moved back towards `own` [2] until it holds the visible face.

    low, high [2] are the corners of the mesh along the crop's axes. A crop that cut the face would
    leave an edge across it.
    """
    margin = FACE_MARGIN * crop.side
    axes = np.linspace(low - margin, high + margin, PLACES)
    columns, rows = np.meshgrid(*axes.T)
    face = np.stack([columns.ravel(), rows.ravel()], 1) @ crop.rotation.T
    visible = face[((face >= 0) & (face <= crop.source_size)).all(1)]
    inside = np.asarray(crop.center)
    for share in np.linspace(0, 1, PLACES):
        x, y = inside + share * (own - inside)
        moved = replace(crop, center=(float(x), float(y)))
        places = moved.to_crop(visible, 1)
        if ((places >= 0) & (places <= 1)).all():
            break
    return moved


def _moved_inside(position: float, reach: float, length: int) -> float:
    """Nearest centre at which an interval of half-length `reach` overlaps 0..length the most."""
    ends = sorted((reach, length - reach))
    return float(min(max(position, ends[0]), ends[1]))


def official_crop_matrix(box: np.ndarray) -> np.ndarray:
    """Detector box (x1, y1, x2, y2) -> [2,3] float64, source to 512 crop, integer pixel centres.

    The published script takes the box's width for both sides and puts 1.5 times of it on 80..432.
    """
    x1, y1, x2, y2 = (float(value) for value in box)
    scale = OFFICIAL_BOX / (1.5 * (x2 - x1))
    middle = OFFICIAL_SIZE / 2
    shift_x, shift_y = middle - scale * (x1 + x2) / 2, middle - scale * (y1 + y2) / 2
    return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])


def official_crop(image: np.ndarray, box: np.ndarray) -> np.ndarray:
    """[H,W,3] uint8 and a detector box -> [512,512,3] uint8, pixel for pixel as published."""
    inverse = invert_affine(official_crop_matrix(box))
    return warp_affine_fixed_point(image, inverse, OFFICIAL_SIZE)
