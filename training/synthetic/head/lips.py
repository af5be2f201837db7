"""Keep the lips shut where AU25 is zero."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..numerics import Array
from .head_pack import HeadPack

COLUMNS = (-0.016, -0.010, -0.004, 0.004, 0.010, 0.016)
"""Where the gap between the lips is measured: template x (m)."""
COLUMN_HALF_WIDTH = 0.0045
"""m, around each column."""
INNER_LIP = 0.95
"""Lip weight above which a vertex is on the inner edge of the lips."""
JAW_DROP = -0.012
"""Vertices that the jaw moves below this (m) belong to the lower lip."""
SMALLEST_OPENING = 0.002
"""Least opening per unit (m) that a column is trusted with."""
OVERCLOSE = 1.5
"""The seal goes this far beyond the measured gap."""
PARTING_UNITS = (
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
)


@dataclass(frozen=True)
class LipColumn:
    """A strip across the mouth: vertices of both inner lips, gap at rest (m), opening per unit."""

    upper: Array
    lower: Array
    rest_gap: np.float32
    opening: np.float32

    def excess(self, vertices: Array) -> np.float32:
        """Widening of the gap against the template, in units of the opening."""
        return (_gap(vertices, self.upper, self.lower) - self.rest_gap) / self.opening


def _gap(vertices: Array, upper: Array, lower: Array) -> np.float32:
    """Distance (m) between the lips, negative where they overlap."""
    return np.float32(vertices[upper, 2].min() - vertices[lower, 2].max())


@dataclass(frozen=True)
class LipSeal:
    """The shape that parts the lips [N, 3], used backwards to close them."""

    parting: Array
    columns: tuple[LipColumn, ...]

    @classmethod
    def build(cls, pack: HeadPack) -> LipSeal:
        """Find the inner lip edges of the template."""
        template = pack.template
        parting = sum(pack.face_units[name] for name in PARTING_UNITS)
        inner = (pack.lip > INNER_LIP) & ~pack.mouth_inside
        lower_jaw = pack.face_units["jawOpen"][:, 2] < JAW_DROP
        columns = []
        for x in COLUMNS:
            strip = inner & (np.abs(template[:, 0] - x) < COLUMN_HALF_WIDTH)
            upper, lower = np.where(strip & ~lower_jaw)[0], np.where(strip & lower_jaw)[0]
            if len(upper) and len(lower):
                rest = _gap(template, upper, lower)
                opening = _gap(template + parting, upper, lower) - rest
                opening = np.maximum(opening, np.float32(SMALLEST_OPENING))
                columns.append(LipColumn(upper, lower, rest, opening))
        return cls(np.asarray(parting), tuple(columns))

    def close(self, vertices: Array) -> Array:
        """Neutral face [N, 3] with the gap removed that its shape targets left."""
        excess = np.max([column.excess(vertices) for column in self.columns])
        closed: Array = vertices - np.clip(OVERCLOSE * excess, 0.0, 1.0) * self.parting
        return closed
