"""Rotations and directions in head space: x to the subject's left, y backwards, z up (metres)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..numerics import Array

NEGLIGIBLE_ANGLE = 1e-6
"""Rotations below this many radians are left out."""


def euler_matrix(yaw: float, pitch: float, roll: float) -> Array:
    """Rotation matrix [3, 3] float32 from degrees: first roll (y), then pitch (x), then yaw (z)."""
    y, p, r = np.radians([yaw, pitch, roll])
    cos_yaw, sin_yaw = math.cos(y), math.sin(y)
    cos_pitch, sin_pitch = math.cos(p), math.sin(p)
    cos_roll, sin_roll = math.cos(r), math.sin(r)
    about_z = np.array([[cos_yaw, -sin_yaw, 0], [sin_yaw, cos_yaw, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos_pitch, -sin_pitch], [0, sin_pitch, cos_pitch]])
    about_y = np.array([[cos_roll, 0, sin_roll], [0, 1, 0], [-sin_roll, 0, cos_roll]])
    return (about_z @ about_x @ about_y).astype(np.float32)


def rotation_vector(matrix: Array) -> Array:
    """Axis times angle (radians) of a rotation matrix, float32 [3]."""
    angle = math.acos(np.clip((np.trace(matrix) - 1) / 2, -1, 1))
    if angle < NEGLIGIBLE_ANGLE:
        return np.zeros(3, np.float32)
    axis = np.array(
        [
            matrix[2, 1] - matrix[1, 2],
            matrix[0, 2] - matrix[2, 0],
            matrix[1, 0] - matrix[0, 1],
        ]
    )
    return (angle / (2 * math.sin(angle)) * axis).astype(np.float32)


def rotate_weighted(points: Tensor, weights: Tensor, vector: Array, pivot: Tensor) -> Tensor:
    """Rotate each point [n, 3] about ``pivot`` by its weight 0..1 times ``vector`` (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < NEGLIGIBLE_ANGLE:
        return points
    axis = torch.from_numpy(vector / angle).to(points)
    offset = points - pivot
    angles = (weights * angle)[:, None]
    cos, sin = torch.cos(angles), torch.sin(angles)
    perpendicular = torch.linalg.cross(axis.expand_as(offset), offset)
    parallel = (offset @ axis)[:, None] * axis
    return offset * cos + perpendicular * sin + parallel * (1 - cos) + pivot


def direction(azimuth: float, elevation: float) -> Tensor:
    """Unit vector [3] towards (azimuth, elevation) in degrees; (0, 0) is ahead of the face."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return torch.tensor(
        [math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)], dtype=torch.float32
    )
