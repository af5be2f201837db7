"""Ambient occlusion of the template: how much of the surroundings each vertex sees."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..numerics import vertex_normals
from ..raster import rasterize
from .regions import Part

DIRECTIONS = 48
GOLDEN_ANGLE = 2.399963
"""Radians between successive directions of the spiral over the sphere."""
MAP_SIZE = 512
EXTENT = 0.8
"""Width (m) of the region seen from each direction."""
BIAS = 0.004
"""Depth (m) by which a vertex may lie behind the surface and still count as seen."""


def _spiral_direction(index: int) -> Tensor:
    z = 1 - 2 * (index + 0.5) / DIRECTIONS
    radius = math.sqrt(1 - z * z)
    angle = index * GOLDEN_ANGLE
    return torch.tensor(
        [radius * math.cos(angle), radius * math.sin(angle), z], dtype=torch.float32
    )


def _visible_from(template: Tensor, triangles: Tensor, direction: Tensor) -> Tensor:
    """1 where a vertex is seen from ``direction`` (parallel projection), else 0."""
    upright = abs(float(direction[2])) < 0.9
    up = torch.tensor([0.0, 0.0, 1.0]) if upright else torch.tensor([1.0, 0.0, 0.0])
    right = torch.linalg.cross(up, direction)
    right = right / right.norm()
    above = torch.linalg.cross(direction, right)
    column = (template @ right / EXTENT + 0.5) * MAP_SIZE
    row = ((template - template.mean(0)) @ above / EXTENT + 0.5) * MAP_SIZE
    points = torch.stack([column, row, 2 - template @ direction], 1)
    _, depth = rasterize(points, triangles, MAP_SIZE)
    column, row = (points[:, k].long().clamp(0, MAP_SIZE - 1) for k in range(2))
    return (points[:, 2] <= depth[row, column] + BIAS).float()


def _hand_set(occlusion: Tensor, template: Tensor, part: Tensor, mouth_inside: Tensor) -> Tensor:
    """Values for teeth, tongue, mouth and eyes, which the closed template hides entirely."""
    front = -template[:, 1]
    teeth = 0.25 + 0.75 * ((front - 0.115) / 0.035).clamp(0, 1)
    tongue = 0.2 + 0.55 * ((front - 0.09) / 0.05).clamp(0, 1)
    mouth = 0.05 + 0.5 * ((front - 0.12) / 0.035).clamp(0, 1)
    is_teeth = (part == Part.TEETH_LOWER) | (part == Part.TEETH_UPPER)
    is_eye = (part == Part.EYE_LEFT) | (part == Part.EYE_RIGHT)
    occlusion = torch.where(is_teeth, teeth, occlusion)
    occlusion = torch.where(part == Part.TONGUE, tongue, occlusion)
    occlusion = torch.where(mouth_inside, mouth, occlusion)
    occlusion = torch.where(is_eye, torch.full_like(occlusion, 0.92), occlusion)
    skin = (part == Part.BODY) & ~mouth_inside
    return torch.where(skin, occlusion.clamp_min(0.18), occlusion)


def ambient_occlusion(
    template: Tensor, triangles: Tensor, part: Tensor, mouth_inside: Tensor
) -> Tensor:
    """Share 0..1 of the cosine-weighted sphere that each vertex [N] sees (1 = open)."""
    normals = vertex_normals(template, triangles)
    seen, total = torch.zeros(len(template)), torch.zeros(len(template))
    for index in range(DIRECTIONS):
        direction = _spiral_direction(index)
        cosine = (normals @ direction).clamp_min(0)
        seen += _visible_from(template, triangles, direction) * cosine
        total += cosine
    occlusion = (seen / total.clamp_min(1e-3)).clamp(0, 1) ** 0.8
    return _hand_set(occlusion, template, part, mouth_inside)
