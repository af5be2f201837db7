"""Perspective camera in front of the face."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..frame import Frame
from ..head.head_model import HeadModel
from ..looks.identity import Identity
from .pose import PosedMesh, eye_centers

AIM_BELOW_EYES = 0.45
"""The camera aims this share of the way from the eyes to the mouth."""
FRAMED_HEIGHT = 0.215 * 1.25
"""Height (m) of the picture at the face for zoom 1 and scale 1."""
RAISE = 0.04
"""Share of the picture by which the aim lies above its middle."""


@dataclass(frozen=True)
class Camera:
    """Looks along +y at ``target`` [3] (m) from ``distance`` (m)."""

    target: Tensor
    distance: float
    focal: float
    """Focal length in picture widths."""
    shift: tuple[float, float]

    def project(self, points: Tensor, size: int) -> Tensor:
        """Points [n, 3] (m) to x, y in pixels of a size x size picture and depth (m)."""
        depth = points[:, 1] - self.target[1] + self.distance
        right = self.focal * (points[:, 0] - self.target[0]) / depth
        up = self.focal * (points[:, 2] - self.target[2]) / depth
        x = (right + 0.5 + self.shift[0]) * size
        y = (0.5 + self.shift[1] - RAISE - up) * size
        return torch.stack([x, y, depth], 1).contiguous()

    def view_vectors(self, points: Tensor) -> Tensor:
        """Vectors [n, 3] from points towards the camera."""
        return torch.stack(
            [
                self.target[0] - points[:, 0],
                self.target[1] - self.distance - points[:, 1],
                self.target[2] - points[:, 2],
            ],
            1,
        )


def aim_camera(model: HeadModel, identity: Identity, frame: Frame, posed: PosedMesh) -> Camera:
    """Centre the face; its expression does not move the camera."""
    neutral = identity.vertices
    left, right = eye_centers(model.part, neutral)
    mouth = neutral[model.landmarks.mouth_corners].mean(0)
    down = AIM_BELOW_EYES * (mouth - 0.5 * (left + right))
    focal = 0.5 / math.tan(math.radians(frame.field_of_view) / 2)
    height = FRAMED_HEIGHT * identity.scale / frame.zoom
    return Camera(
        target=posed.eyes.mean(0) + posed.head_rotation @ down,
        distance=focal * height,
        focal=focal,
        shift=frame.shift,
    )
