"""The face chart: a fixed texture space over the template head, angle by height.

A point of the template maps to the angle theta around a vertical axis through the head and to its
height z. The chart carries skin, brows and wrinkles of every identity in the same place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..numerics import Array
from ..raster import NOTHING, barycentric, rasterize

CHART_SIZE = 512
"""Texels along each side of the chart."""
CHART_ANGLE = 1.60
"""The chart spans -1.60 to 1.60 radians around the head (0 = straight ahead)."""
CHART_BOTTOM, CHART_TOP = 0.600, 0.860
"""Template heights (m) of the chart's lower and upper edge."""
HEAD_AXIS_Y = -0.060
"""Template y (m) of the vertical axis that angles are measured around."""
FILL_RADIUS = 0.07
"""Radius (m) given to texels that no skin triangle covers."""
MAX_TRIANGLE_ANGLE = 2.2
"""Triangles beyond this angle (radians) would wrap around the back of the chart."""


def head_angle(points: Array) -> Array:
    """Angle theta (radians, subject's left positive) of template points [..., 3]."""
    angle: Array = np.arctan2(points[..., 0], -(points[..., 1] - HEAD_AXIS_Y))
    return angle


def head_angle_torch(points: Tensor) -> Tensor:
    """`head_angle` for tensors [n, 3]."""
    return torch.atan2(points[:, 0], -(points[:, 1] - HEAD_AXIS_Y))


def chart_coordinates(angle: Tensor, height: Tensor) -> Tensor:
    """`grid_sample` coordinates [n, 2] of angles (radians) and template heights (m)."""
    vertical = 2 * (CHART_TOP - height) / (CHART_TOP - CHART_BOTTOM) - 1
    return torch.stack([angle / CHART_ANGLE, vertical], 1)


def chart_row(height: float) -> int:
    """Row of the chart at a template height (m)."""
    return int((CHART_TOP - height) / (CHART_TOP - CHART_BOTTOM) * CHART_SIZE)


@dataclass(frozen=True)
class Chart:
    """Template position of every texel: sideways ``x`` and height ``z``, millimetres, float32."""

    x: Array
    z: Array

    @classmethod
    def build(cls, template: Array, skin_triangles: Array) -> Chart:
        """Draw the skin triangles [t, 3] of the template [n, 3] (m) into the chart."""
        points = torch.from_numpy(_chart_points(template))
        small = np.abs(head_angle(template)[skin_triangles]).max(1) < MAX_TRIANGLE_ANGLE
        triangles = torch.from_numpy(skin_triangles[small])
        ids, _ = rasterize(points, triangles, CHART_SIZE)
        covered = ids != NOTHING
        rows, columns = torch.nonzero(covered, as_tuple=True)
        corners = triangles[ids[covered].long()]
        weights = barycentric(points, corners, columns + 0.5, rows + 0.5)
        positions = _cylinder()
        drawn = (torch.from_numpy(template)[corners] * weights[..., None]).sum(1)
        positions[covered.numpy()] = drawn.numpy()
        return cls(positions[..., 0] * 1000, positions[..., 2] * 1000)


def _chart_points(template: Array) -> Array:
    """Template vertices as raster points: chart column, chart row, depth from outside."""
    angle = head_angle(template)
    radius = np.hypot(template[:, 0], template[:, 1] - HEAD_AXIS_Y)
    column = (angle / CHART_ANGLE + 1) / 2 * CHART_SIZE
    row = (CHART_TOP - template[:, 2]) / (CHART_TOP - CHART_BOTTOM) * CHART_SIZE
    return np.stack([column, row, 0.3 - radius], 1).astype(np.float32)


def _cylinder() -> Array:
    """Positions (m) [CHART_SIZE, CHART_SIZE, 3] on a plain cylinder around the head axis."""
    centres = (np.arange(CHART_SIZE) + 0.5) / CHART_SIZE
    angle = (centres * 2 - 1) * CHART_ANGLE
    positions = np.zeros((CHART_SIZE, CHART_SIZE, 3), np.float32)
    positions[..., 0] = (np.sin(angle) * FILL_RADIUS)[None]
    positions[..., 1] = HEAD_AXIS_Y - (np.cos(angle) * FILL_RADIUS)[None]
    positions[..., 2] = (CHART_TOP - centres * (CHART_TOP - CHART_BOTTOM))[:, None]
    return positions
