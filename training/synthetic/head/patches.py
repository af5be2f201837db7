"""Patches of skin, refined once, that hair and clothes grow from."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from ..numerics import Array
from .canonical import head_angle
from .head_pack import HeadPack

SCALP_ANGLE = (0, 0.45, 0.9, 1.15, 1.6, 2.2, pi)
SCALP_HEIGHT = (0.752, 0.756, 0.752, 0.690, 0.675, 0.625, 0.610)
"""|theta| (radians) -> lowest template z (m) where hair may grow."""
GARMENT_TOP = 0.640
GARMENT_HALF_WIDTH = 0.32
"""Template z and |x| (m) that a garment may cover."""


@dataclass(frozen=True)
class Patch:
    """A refined piece of skin: each vertex is the midpoint of a pair of template vertices.

    pairs [n, 2] (equal indices for an original vertex), triangles [t, 3] into the pairs.
    """

    pairs: Array
    triangles: Array

    def midpoints(self, template: Array) -> Array:
        """Template positions [n, 3] (m)."""
        return 0.5 * (template[self.pairs[:, 0]] + template[self.pairs[:, 1]])

    @classmethod
    def refine(cls, triangles: Array, selected: Array) -> Patch:
        """Each triangle with all corners ``selected`` [N] becomes four."""
        kept = triangles[selected[triangles].all(1)]
        index = {(vertex, vertex): i for i, vertex in enumerate(np.unique(kept).tolist())}
        refined = []
        for corners in kept.tolist():
            a, b, c = (index[(vertex, vertex)] for vertex in corners)
            ab, bc, ca = (
                index.setdefault((min(edge), max(edge)), len(index))
                for edge in zip(corners, corners[1:] + corners[:1], strict=True)
            )
            refined += [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        return cls(np.array(list(index)), np.array(refined))


def scalp_patch(pack: HeadPack, skin_triangles: Array, skin: Array) -> Patch:
    """Where hair may grow."""
    lowest = np.interp(np.abs(head_angle(pack.template)), SCALP_ANGLE, SCALP_HEIGHT)
    return Patch.refine(skin_triangles, skin & (pack.template[:, 2] > lowest) & (pack.ear < 0.35))


def garment_patch(pack: HeadPack, skin_triangles: Array, skin: Array) -> Patch:
    """Neck and shoulders."""
    low = pack.template[:, 2] < GARMENT_TOP
    narrow = np.abs(pack.template[:, 0]) < GARMENT_HALF_WIDTH
    return Patch.refine(skin_triangles, skin & low & narrow)
