"""Height maps of the wrinkles that each action unit draws on the skin.

Positions are millimetres on the template (x sideways, z up), read off the anatomy of the face; the
maps are ours and have no outside source.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magicface_core.aus import AU_ORDER

from ..numerics import Array, smoothstep
from .canonical import CHART_SIZE, Chart
from .curves import Point, polyline_distance, smooth_curve
from .noise import fractal_noise

DIMPLE_SEED = 3
BANK_OFFSET, BANK_WIDTH, BANK_HEIGHT = 2.2, 1.6, 0.45
"""Raised banks beside a furrow: offset and width in furrow widths, height in furrow depths."""
FADE_START, FADE_END = 590, 610
"""Heights (mm) over which wrinkles fade out below the chin."""
AGE_BELOW_EYE = 735
"""Only the part of the AU6 lines below this height (mm) shows at rest in old age."""


@dataclass(frozen=True)
class Crease:
    """A furrow with raised banks along a smooth curve (mm), mirrored unless ``central``."""

    points: Sequence[Point]
    width: float
    depth: float
    fade: float = 0.25
    central: bool = False

    def height(self, chart: Chart) -> Array:
        """Skin height (mm) [CHART_SIZE, CHART_SIZE]."""
        x = chart.x if self.central else np.abs(chart.x)
        distance, position = polyline_distance(x, chart.z, smooth_curve(self.points))
        ends = smoothstep(0, self.fade, position) * smoothstep(0, self.fade, 1 - position)
        furrow = np.exp(-((distance / self.width) ** 2))
        from_bank = (distance - BANK_OFFSET * self.width) / (BANK_WIDTH * self.width)
        return (-furrow + BANK_HEIGHT * np.exp(-(from_bank**2))) * self.depth * ends


@dataclass(frozen=True)
class Bulge:
    """A Gaussian swelling (mm) on both sides of the face."""

    x: float
    z: float
    spread_x: float
    spread_z: float
    amount: float

    def height(self, chart: Chart) -> Array:
        """Skin height (mm) [CHART_SIZE, CHART_SIZE]."""
        across = ((np.abs(chart.x) - self.x) / self.spread_x) ** 2
        along = ((chart.z - self.z) / self.spread_z) ** 2
        return self.amount * np.exp(-across - along)


def _forehead_lines(heights: Sequence[float]) -> list[Crease]:
    """Central forehead lines, one per height (mm)."""
    shape = ((-26, -3), (-9, 1), (9, 1), (26, -3))
    return [Crease([(x, z + dz) for x, dz in shape], 1.3, 0.9, central=True) for z in heights]


def _outer_brow_lines(heights: Sequence[float]) -> list[Crease]:
    """Lines above the outer brow, one per height (mm)."""
    shape = ((22, -3), (38, 0), (54, 1.5))
    return [Crease([(x, z + dz) for x, dz in shape], 1.3, 0.7, 0.3) for z in heights]


def _crows_feet() -> list[Crease]:
    """Lines fanning out from the outer eye corner."""
    return [
        Crease([(49, 729 + k * 1.5), (55, 728 + k * 4), (62, 727 + k * 6.5)], 1.2, 0.6, 0.3)
        for k in (-1, 0, 1)
    ]


def _nose_side_lines() -> list[Crease]:
    """Oblique lines on the side of the nose."""
    return [Crease([(2, z + 2), (7, z - 1), (12, z - 6)], 1.0, 1.2) for z in (729, 723, 717)]


def _mouth_side_lines() -> list[Crease]:
    """Upright lines beside a stretched mouth."""
    shape = ((38, 668), (40, 660), (39, 652))
    return [Crease([(x + shift, z) for x, z in shape], 1.2, 0.5, 0.3) for shift in (0, 5)]


WRINKLES: dict[int, list[Crease | Bulge]] = {
    1: [*_forehead_lines((760, 768, 777))],
    2: [*_outer_brow_lines((762, 771, 780))],
    4: [
        Crease([(4.5, 752), (5.2, 744), (4.6, 736)], 1.1, 1.5, 0.3),
        Crease([(-8, 733), (0, 732), (8, 733)], 1.2, 0.48, central=True),
        Bulge(12, 742, 6, 5, 0.8),
    ],
    5: [Crease([(20, 733), (33, 741), (47, 734)], 0.9, 0.5, 0.2)],
    6: [
        *_crows_feet(),
        Crease([(17, 718), (31, 713), (46, 718)], 1.4, 0.9, 0.2),
        Bulge(42, 704, 12, 9, 0.9),
    ],
    9: [
        *_nose_side_lines(),
        Crease([(-9, 735), (0, 736.5), (9, 735)], 1.2, 1.3, central=True),
        Crease([(17, 700), (22, 690), (27, 681)], 1.6, 1.1),
    ],
    12: [
        Crease([(17, 697), (26, 684), (32, 671), (35, 660)], 1.8, 1.6, 0.2),
        Bulge(38, 690, 11, 11, 1.2),
        Crease([(38, 668), (40, 661), (39, 654)], 1.2, 0.7, 0.3),
    ],
    15: [
        Crease([(27, 660), (30, 651), (32, 640)], 1.4, 1.4),
        Bulge(26, 650, 5, 5, 0.5),
    ],
    17: [Crease([(-17, 641), (-8, 645), (8, 645), (17, 641)], 1.4, 1.3, central=True)],
    20: [
        Crease([(31, 672), (34, 661), (33, 650)], 1.4, 1.1),
        *_mouth_side_lines(),
    ],
    25: [],
    26: [Crease([(20, 698), (27, 684), (31, 668), (33, 655)], 2.0, 0.6)],
}
"""Action unit -> the wrinkles it draws at intensity 5 (AU17 also dimples the chin, see below)."""

CHIN = Bulge(0, 634, 15, 10, 1.0)
AGE_SHARES = {1: 0.35, 2: 0.35, 4: 0.08, 6: 0.4, 12: 0.45, 15: 0.3}
"""Share of each unit's wrinkles that stays visible at rest in old age."""


def _chin_dimples(chart: Chart) -> Array:
    rng = np.random.default_rng(DIMPLE_SEED)
    dimples = fractal_noise(rng, CHART_SIZE, CHART_SIZE, 64, 2)
    return (dimples * 0.55 + 0.3) * CHIN.height(chart)


@dataclass(frozen=True)
class WrinkleMaps:
    """Height maps (mm): ``action_units`` [12, S, S] at intensity 5, and ``age`` [S, S] at rest."""

    action_units: Tensor
    age: Tensor

    @classmethod
    def build(cls, chart: Chart) -> WrinkleMaps:
        """Draw all maps on the chart."""
        maps: dict[int, Array] = {}
        for number in AU_ORDER:
            height = _chin_dimples(chart) if number == 17 else np.zeros_like(chart.x)
            maps[number] = sum((w.height(chart) for w in WRINKLES[number]), height)
        stacked = np.stack([maps[number] for number in AU_ORDER]).astype(np.float32)
        stacked *= smoothstep(FADE_START, FADE_END, chart.z)[None]
        maps[6] = maps[6] * (chart.z < AGE_BELOW_EYE)
        age = sum((share * maps[number] for number, share in AGE_SHARES.items()), 0 * chart.x)
        return cls(torch.from_numpy(stacked), torch.from_numpy(age.astype(np.float32)))
