"""Vertices of the template that serve as landmarks: jaw contour, nose, mouth corners."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..numerics import Array
from .canonical import head_angle

JAW_POINTS = 17
CHIN = 8
"""Index of the chin among the jaw points."""
HALF_JAW = (
    (71, -47, 728),
    (70.5, -49, 710),
    (69, -52, 693),
    (66, -54, 676),
    (60, -60, 659.5),
    (50, -75, 645),
    (36.5, -97, 632.5),
    (19, -124, 623.5),
)
"""Target positions (mm) of the contour from the ear to beside the chin, on the subject's left."""
CHIN_TARGET = (0, -138, 620)
BEHIND_JAW = -0.035
"""Vertices behind this y (m) belong to the neck or the back of the head."""
EXCLUDED = 1e3
"""Penalty (mm) that rules a vertex out."""
SLIDE_BAND = 0.0035
"""Half height (m) of the parallel along which a contour point may slide."""
SLIDE_FRONT = -0.05
"""A contour point never slides behind this y (m)."""
NASION, NOSE_TIP = (0, 733), (0, 691)
MOUTH_CORNERS = ((-26, 661), (26, 661))
"""Targets (x, z in mm) seen from the front; right corner first."""


@dataclass(frozen=True)
class Landmarks:
    """Vertex indices, from the subject's right to the left (image left to right)."""

    jaw: Array
    """[17] contour vertices."""
    jaw_candidates: tuple[Tensor, ...]
    """For each contour point, the vertices it may slide to; its own comes first."""
    nasion: int
    nose_tip: int
    mouth_corners: Tensor
    """[2]."""
    profile_angle: Tensor
    profile_height: Tensor
    """[9] left half of the contour, from the chin on: |theta| (radians) -> template z (m)."""

    @classmethod
    def build(cls, template: Array, normals: Array, skin: Array, ear: Array) -> Landmarks:
        """Pick vertices of the template [N, 3] (m) among ``skin`` [N] bool, leaving out ``ear``."""
        face = skin & (ear < 0.5)
        jaw = _jaw_contour(template, normals, face)
        corners = [_nearest(template, face, *target) for target in MOUTH_CORNERS]
        angle = np.abs(head_angle(template[jaw[CHIN:]]))
        order = np.argsort(angle)
        heights = template[jaw[CHIN:]][order, 2]
        return cls(
            jaw=jaw,
            jaw_candidates=tuple(
                _slide_candidates(template, face, number, vertex)
                for number, vertex in enumerate(jaw)
            ),
            nasion=_nearest(template, face, *NASION),
            nose_tip=_nearest(template, face, *NOSE_TIP),
            mouth_corners=torch.tensor(corners),
            profile_angle=torch.from_numpy(angle[order].astype(np.float32)),
            profile_height=torch.from_numpy(heights.astype(np.float32)),
        )


def _jaw_contour(template: Array, normals: Array, face: Array) -> Array:
    """The rim seen from the front: near the targets, normals about across the line of sight."""
    right = [(-x, y, z) for x, y, z in HALF_JAW]
    targets = [*right, CHIN_TARGET, *reversed(HALF_JAW)]
    barred = EXCLUDED * ~(face & (template[:, 1] < BEHIND_JAW))
    rim = 2.5 * np.abs(normals[:, 1] + 0.35)
    vertices = []
    for x, y, z in targets:
        distance = np.hypot(template[:, 0] * 1000 - x, template[:, 2] * 1000 - z)
        cost = distance + barred + rim + 0.45 * np.abs(template[:, 1] * 1000 - y)
        vertices.append(int(np.argmin(cost)))
    return np.array(vertices)


def _slide_candidates(template: Array, face: Array, number: int, vertex: int) -> Tensor:
    """The vertex itself, and those in front of it at its height (none beside the chin).

    Detectors trained on pictures place the far side of the contour on the silhouette, so the
    labels slide there too.
    """
    if abs(number - CHIN) <= 1:
        return torch.tensor([vertex])
    angle = head_angle(template)
    limit = abs(angle[vertex])
    same_height = np.abs(template[:, 2] - template[vertex, 2]) < SLIDE_BAND
    same_side = np.sign(angle) == np.sign(angle[vertex])
    ahead = (np.abs(angle) < limit) & (np.abs(angle) > 0.3 * limit)
    allowed = face & same_height & same_side & ahead & (template[:, 1] < SLIDE_FRONT)
    return torch.from_numpy(np.concatenate([[vertex], np.where(allowed)[0]]))


def _nearest(template: Array, face: Array, x: float, z: float) -> int:
    """The face vertex nearest to (x, z) in mm seen from the front, not on the back of the head."""
    distance = np.hypot(template[:, 0] * 1000 - x, template[:, 2] * 1000 - z)
    behind = 500 * np.maximum(template[:, 1] + 0.1, 0)
    return int(np.argmin(distance + EXCLUDED * ~face + behind))
