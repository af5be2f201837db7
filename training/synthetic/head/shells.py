"""Pieces that are added to the head: shells that ride on the skin, and rigid pieces around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics import Array
from .canonical import HEAD_AXIS_Y
from .patches import Patch
from .regions import Part

CHART_CENTRE = np.array([0, HEAD_AXIS_Y, 0.75])
"""Template position (m) that the centre of a head of hair is given on the chart."""


@dataclass(frozen=True)
class Shell:
    """A layer over a patch of skin, ``thickness`` [n] (m) along the skin's normals."""

    patch: Patch
    thickness: Array


@dataclass(frozen=True)
class RigidPiece:
    """A mesh that follows the head or partly the body, but not the expression."""

    part: Part
    vertices: Array
    """[n, 3] m, float32."""
    triangles: Array
    """[t, 3]."""
    head_weight: Array
    """[n] share of the head's rotation, float32."""
    template: Array
    """[n, 3] template position that patterns are looked up with, float32."""


def strip_triangles(rows: int, columns: int) -> Array:
    """Triangles of a grid of rows x columns vertices, numbered row by row."""
    row, column = np.mgrid[0 : rows - 1, 0 : columns - 1].reshape(2, -1)
    a = row * columns + column
    first = np.stack([a, a + 1, a + columns], 1)
    second = np.stack([a + 1, a + columns + 1, a + columns], 1)
    return np.stack([first, second], 1).reshape(-1, 3)
