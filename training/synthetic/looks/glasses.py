"""Glasses: rims, bridge and temples made of thin tubes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..head.head_model import HeadModel, eye_centers
from ..head.regions import Part
from ..head.shells import RigidPiece
from ..numerics import Array
from .appearance import GlassesShape

TUBE_SIDES = 6
RIM_POINTS = 36
RIM_RADIUS = 0.0009
"""Radius (m) of a rim of thickness 1."""
LENS_HALF_WIDTH = 0.39
"""In eye distances."""
IN_FRONT_OF_EYE = 0.0235
"""Distance (m) from the eyeball's centre to the lens on the template."""
WRAP = 0.10
"""How far back a lens bends per metre to the side."""


@dataclass(frozen=True)
class _Fit:
    """Where glasses sit on a face (m)."""

    eyes: tuple[Array, Array]
    eye_distance: np.floating[Any]
    front: np.floating[Any]
    half_width: np.floating[Any]
    half_height: np.floating[Any]
    rim: float
    exponent: float


def _tube(path: Array, radius: float, closed: bool) -> tuple[Array, Array]:
    """Vertices and triangles of a tube of ``radius`` (m) along ``path`` [n, 3]."""
    tangent = np.roll(path, -1, 0) - np.roll(path, 1, 0)
    if not closed:
        tangent[0], tangent[-1] = path[1] - path[0], path[-1] - path[-2]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.cross(tangent, np.array([0, 1.0, 0.05]))
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-9
    upward = np.cross(tangent, across)
    angles = (np.arange(TUBE_SIDES) / TUBE_SIDES * 2 * math.pi)[None, :, None]
    ring = np.cos(angles) * across[:, None] + np.sin(angles) * upward[:, None]
    vertices = (path[:, None] + radius * ring).reshape(-1, 3)
    return vertices, _tube_triangles(len(path), closed)


def _tube_triangles(points: int, closed: bool) -> Array:
    segments, sides = np.mgrid[0 : points if closed else points - 1, 0:TUBE_SIDES].reshape(2, -1)
    following = (segments + 1) % points * TUBE_SIDES
    next_side = (sides + 1) % TUBE_SIDES
    a, b = segments * TUBE_SIDES + sides, segments * TUBE_SIDES + next_side
    a_next, b_next = following + sides, following + next_side
    first, second = np.stack([a, b, a_next], 1), np.stack([b, b_next, a_next], 1)
    return np.stack([first, second], 1).reshape(-1, 3)


def _rim_path(fit: _Fit, eye: Array) -> Array:
    """Superellipse around an eye, bent back at the sides."""
    angle = np.linspace(0, 2 * math.pi, RIM_POINTS, endpoint=False)
    power = 2 / fit.exponent
    across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    along = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    x = eye[0] + fit.half_width * across
    y = fit.front + WRAP * (np.abs(x) - fit.eye_distance / 2)
    return np.stack([x, y, eye[2] - 0.002 + fit.half_height * along], 1)


def _temple_path(fit: _Fit, eye: Array, side: int, ear: Array) -> Array:
    """From the outer edge of a lens to the ear; ``side`` is 1 on the subject's left, else -1."""
    outer = fit.eye_distance / 2 + fit.half_width
    return np.array(
        [
            [side * outer, fit.front + WRAP * fit.half_width, eye[2] + 0.25 * fit.half_height],
            [side * (outer + 0.004), fit.front + 0.012, eye[2] + 0.3 * fit.half_height],
            [side * (np.abs(ear[:, 0]).mean() - 0.006), ear[:, 1].mean(), eye[2] + 0.006],
        ]
    )


def _bridge_path(fit: _Fit) -> Array:
    half = fit.eye_distance / 2 - fit.half_width * 0.97
    level, height = fit.eyes[0][2], fit.half_height
    return np.array(
        [
            [-half, fit.front - 0.0015, level + 0.2 * height],
            [-half * 0.4, fit.front - 0.003, level + 0.35 * height],
            [half * 0.4, fit.front - 0.003, level + 0.35 * height],
            [half, fit.front - 0.0015, level + 0.2 * height],
        ]
    )


def _fit(model: HeadModel, vertices: Array, scale: float, shape: GlassesShape) -> _Fit:
    left, right = eye_centers(model.pack, vertices)
    distance = np.linalg.norm(left - right)
    before_eyes = min(left[1], right[1]) - IN_FRONT_OF_EYE * scale
    before_nose = vertices[model.landmarks.nasion][1] - 0.0005
    return _Fit(
        eyes=(left, right),
        eye_distance=distance,
        front=min(before_eyes, before_nose),
        half_width=distance * LENS_HALF_WIDTH,
        half_height=distance * LENS_HALF_WIDTH * shape.aspect * 0.85,
        rim=RIM_RADIUS * shape.thickness,
        exponent=shape.exponent,
    )


def wear_glasses(
    model: HeadModel, vertices: Array, scale: float, shape: GlassesShape
) -> list[RigidPiece]:
    """Rims, temples and bridge fitted to a neutral face [N, 3] of the given scale."""
    fit = _fit(model, vertices, scale, shape)
    ear = vertices[model.pack.ear > 0.5]
    tubes = []
    for eye, side in zip(fit.eyes, (1, -1), strict=True):
        tubes.append(_tube(_rim_path(fit, eye), fit.rim, closed=True))
        tubes.append(_tube(_temple_path(fit, eye, side, ear), fit.rim * 0.9, closed=False))
    tubes.append(_tube(_bridge_path(fit), fit.rim, closed=False))
    pieces = []
    for points, triangles in tubes:
        points = points.astype(np.float32)
        weight = np.ones(len(points), np.float32)
        pieces.append(RigidPiece(Part.GLASSES, points, triangles, weight, points))
    return pieces
