"""Hair as a shell over the scalp: where the hairline runs and how far the hair stands off."""

from __future__ import annotations

from dataclasses import dataclass
from math import pi

import numpy as np

from ..head.canonical import head_angle
from ..head.head_model import HeadModel
from ..head.shells import Shell
from ..head.traits import Traits
from ..numerics import Array, smoothstep
from .appearance import HairStyle

HAIRLINE_ANGLE = (0, 0.35, 0.70, 0.92, 1.05, 1.2, 1.38, 1.6, 1.9, 2.3, pi)
"""|theta| (radians) at which the hairline's height is set."""
FRINGE_STYLES = ("long", "bob", "medium", "short")
THICKNESS_RANGES: dict[HairStyle, tuple[float, float]] = {
    "buzz": (0.0015, 0.003),
    "short": (0.006, 0.014),
    "medium": (0.014, 0.024),
    "long": (0.010, 0.018),
    "bob": (0.012, 0.020),
    "bun": (0.005, 0.009),
    "afro": (0.035, 0.060),
    "receding": (0.003, 0.008),
    "cap": (0.010, 0.016),
}
"""Range of thickness (m); bald heads have no shell."""
EDGE_WIDTHS: dict[HairStyle, float] = {"afro": 0.035, "buzz": 0.012, "cap": 0.004}
EDGE_WIDTH, FRINGE_EDGE_WIDTH = 0.022, 0.010
"""Distance (m) from the hairline over which hair reaches its thickness."""
VOLUMES: dict[HairStyle, tuple[float, float]] = {
    "short": (0.45, 0.9),
    "medium": (0.6, 0.6),
    "afro": (0.8, 0.25),
}
VOLUME = (0.75, 0.35)
"""Thickness at the sides, and what the top adds, relative to the base."""


@dataclass(frozen=True)
class Hairline:
    """A random hairline on the template (heights in m)."""

    front: float
    recession: float
    side: float
    fringe: bool
    parting: float

    def height(self, angle: Array) -> Array:
        """Template z of the hairline at |theta| (radians)."""
        front, recession, side = self.front, self.recession, self.side
        heights = [
            front,
            front + 0.25 * recession,
            front - 0.004 + recession,
            0.775 + 0.6 * recession,
            0.745 + 0.3 * recession,
            side + 0.008,
            side,
            0.732,
            0.695,
            0.655,
            0.642,
        ]
        return np.interp(angle, HAIRLINE_ANGLE, heights)

    def unevenness(self, angle: Array) -> Array:
        """Jagged edge (m) of the hairline or of the fringe; theta is signed."""
        if self.fringe:
            return 0.003 * np.sin(angle * 31 + 2)
        return 0.004 * np.sin(np.abs(angle) * 23 + 5 * self.parting)


def _sample_hairline(style: HairStyle, traits: Traits, rng: np.random.Generator) -> Hairline:
    front = 0.800 + rng.uniform(-0.010, 0.012)
    recession = rng.uniform(0, 0.012)
    if style == "receding":
        recession += rng.uniform(0.012, 0.03)
    recession += 0.012 * traits.old * (not traits.female)
    fringe = style in FRINGE_STYLES and bool(rng.random() < (0.35 if traits.female else 0.12))
    if fringe:
        front, recession = rng.uniform(0.762, 0.780), 0.0
    side = rng.uniform(0.705, 0.725) if traits.female else rng.uniform(0.690, 0.715)
    return Hairline(front, recession, side, fringe, parting=rng.uniform(-0.5, 0.5))


def _sample_thickness(style: HairStyle, rng: np.random.Generator) -> float:
    """Thickness (m); all styles are drawn, so that later draws do not depend on the style."""
    drawn = {name: rng.uniform(low, high) for name, (low, high) in THICKNESS_RANGES.items()}
    return drawn.get(style, 0.0)


def _tousle(points: Array, rng: np.random.Generator) -> Array:
    """Smooth unevenness of the surface, about -1.5..1.5."""
    phases = rng.uniform(0, 6), rng.uniform(0, 6), rng.uniform(0, 6)
    first, second, third = (
        np.sin(points @ np.array(wave) + phase)
        for wave, phase in zip(
            ((90.0, 40, 70), (-50.0, 80, 60), (210.0, -160, 190)), phases, strict=True
        )
    )
    tousle: Array = first * second + 0.5 * third
    return tousle


def _inside(hairline: Hairline, style: HairStyle, points: Array, angle: Array) -> Array:
    """Height (m) above the hairline; negative outside the hair."""
    inside = points[:, 2] - hairline.height(np.abs(angle)) + hairline.unevenness(angle)
    if style == "receding":
        bald_crown = (0.775 + 0.012 * np.sin(angle * 3)) - points[:, 2]
        inside = np.minimum(inside, bald_crown + 0.03 * (np.abs(angle) > 1.0))
    return inside


@dataclass(frozen=True)
class HairShell:
    """The shell (None on a bald head) and its base thickness (m)."""

    shell: Shell | None
    base: float


def grow_hair(
    model: HeadModel, style: HairStyle, traits: Traits, rng: np.random.Generator
) -> HairShell:
    """Random hair of a style. The order of the draws is part of what a seed means."""
    points = model.scalp.midpoints(model.pack.template)
    angle = head_angle(points)
    height = points[:, 2]
    hairline = _sample_hairline(style, traits, rng)
    base = _sample_thickness(style, rng)
    inside = _inside(hairline, style, points, angle)
    tousle = _tousle(points, rng)
    edge = FRINGE_EDGE_WIDTH if hairline.fringe else EDGE_WIDTHS.get(style, EDGE_WIDTH)
    sides, top = VOLUMES.get(style, VOLUME)
    thickness = base * (sides + top * smoothstep(0.70, 0.83, height))
    thickness = thickness * smoothstep(0, edge, inside)
    thickness = thickness * (1 + (0.12 if style != "cap" else 0.0) * tousle)
    if style in ("medium", "short") and not hairline.fringe:
        sweep = np.clip(np.sin(angle * 0.5 + hairline.parting), -0.5, 1)
        thickness *= 1 + rng.uniform(0, 0.6) * sweep * smoothstep(0.79, 0.84, height)
    if style == "afro":
        thickness *= smoothstep(0.665, 0.755, height - 0.02 * (np.abs(angle) < 1.2))
    # outside the hairline the shell sinks below the skin
    thickness = thickness - 0.0022 * smoothstep(0.002, -0.010, inside) - 0.0008
    shell = None if style == "bald" else Shell(model.scalp, thickness.astype(np.float32))
    return HairShell(shell, base)
