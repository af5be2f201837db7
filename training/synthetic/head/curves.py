"""Smooth curves on the face chart and distances to them (millimetres)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..numerics import Array

Point = tuple[float, float]


def polyline_distance(x: Array, z: Array, points: Sequence[Point]) -> tuple[Array, Array]:
    """Distance of every (x, z) to a polyline, and the position 0..1 of the nearest point on it."""
    distance = np.full(x.shape, 1e9, np.float32)
    position = np.zeros(x.shape, np.float32)
    segments = len(points) - 1
    for index in range(segments):
        (ax, az), (bx, bz) = points[index], points[index + 1]
        vx, vz = bx - ax, bz - az
        t = np.clip(((x - ax) * vx + (z - az) * vz) / (vx * vx + vz * vz), 0, 1)
        candidate = np.hypot(x - ax - t * vx, z - az - t * vz)
        closer = candidate < distance
        distance = np.where(closer, candidate, distance)
        position = np.where(closer, (index + t) / segments, position)
    return distance, position


def smooth_curve(points: Sequence[Point], steps: int = 12) -> list[Point]:
    """Catmull-Rom spline through ``points``, sampled ``steps`` times per span."""
    p = np.array([points[0], *points, points[-1]], np.float32)
    curve: list[Point] = []
    for i in range(1, len(p) - 2):
        for t in np.linspace(0, 1, steps, endpoint=False):
            linear = (-p[i - 1] + p[i + 1]) * t
            quadratic = (2 * p[i - 1] - 5 * p[i] + 4 * p[i + 1] - p[i + 2]) * t**2
            cubic = (-p[i - 1] + 3 * p[i] - 3 * p[i + 1] + p[i + 2]) * t**3
            x, z = 0.5 * ((2 * p[i]) + linear + quadratic + cubic)
            curve.append((x, z))
    curve.append((p[-2][0], p[-2][1]))
    return curve
