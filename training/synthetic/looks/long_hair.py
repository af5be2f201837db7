"""Hair that hangs free of the scalp (long and bob), and buns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..head.head_model import HeadModel
from ..head.landmarks import CHIN
from ..head.regions import Part
from ..head.shells import CHART_CENTRE, RigidPiece, Shell, strip_triangles
from ..numerics import Array
from .appearance import HairStyle

COLUMNS, ROWS = 72, 14
"""Vertices around the head and from top to ends."""
RING_OFFSET, RING_HALF_HEIGHT = 0.015, 0.03
"""Height (m) above the head's centre, and half height, of the hair that sets the radius."""
RING_WINDOW = 0.3
"""Half width (radians) over which the largest radius counts."""
DEFAULT_RADIUS = 0.09
"""Radius (m) where no hair is near."""
TOP_OFFSET = 0.055
"""Height (m) of the curtain's top above the head's centre."""
SMOOTHING = 7
"""Columns of the moving average over the radius."""
TEMPLATE_CHIN = 0.62
CROWN = 0.74
"""Template z (m) of the chin, and above which vertices make up the crown."""
BUN_MERIDIANS, BUN_PARALLELS = 25, 13


def head_centre(model: HeadModel, vertices: Array) -> Array:
    """Centre [3] (m) of the upper half of a head [N, 3]."""
    crown = (model.pack.part == Part.BODY) & (model.pack.template[:, 2] > CROWN)
    centre: Array = vertices[crown].mean(0)
    return centre


def _hair_radius(hair: Array, centre: Array, angles: Array) -> Array:
    """Largest radius (m) of the hair shell [n, 3] around each angle, smoothed."""
    ring = hair[np.abs(hair[:, 2] - (centre[2] + RING_OFFSET)) < RING_HALF_HEIGHT]
    ring_angle = np.arctan2(ring[:, 0] - centre[0], -(ring[:, 1] - centre[1])) % (2 * math.pi)
    ring_radius = np.hypot(ring[:, 0] - centre[0], ring[:, 1] - centre[1])
    radius = np.zeros(len(angles))
    for i, angle in enumerate(angles):
        apart = np.abs((ring_angle - angle + math.pi) % (2 * math.pi) - math.pi)
        near = apart < RING_WINDOW
        radius[i] = ring_radius[near].max() if near.any() else DEFAULT_RADIUS
    margin = SMOOTHING // 2
    padded = np.concatenate([[radius[0]] * margin, radius, [radius[-1]] * margin])
    return np.convolve(padded, np.ones(SMOOTHING) / SMOOTHING, "valid")


@dataclass(frozen=True)
class _Curtain:
    """Random form of hanging hair, over the angles it covers."""

    angles: Array
    """[COLUMNS] radians around the head, 0 = straight ahead."""
    tips: Array
    """[COLUMNS] heights of the ends, m."""
    wave: float
    """m."""
    wave_count: float
    phase: float
    flare: float
    """How much wider the hair gets towards its ends."""

    def row(self, centre: Array, radius: Array, share: float) -> Array:
        """Points [COLUMNS, 3] (m) at a share 0..1 of the way from top to ends."""
        height = (centre[2] + TOP_OFFSET) * (1 - share) + self.tips * share
        profile = 1 - 0.10 * math.exp(-((share / 0.12) ** 2)) + self.flare * 0.35 * share
        profile = profile + 0.04 * math.sin(share * 3)
        waves = self.wave * np.sin(self.wave_count * self.angles + self.phase + 9 * share)
        locks = 0.0035 * np.sin(37 * self.angles + 3 * share) * (share + 0.2)
        r = radius * profile + waves * share * 2 + locks
        x, y = centre[0] + np.sin(self.angles) * r, centre[1] - np.cos(self.angles) * r
        return np.stack([x, y, height], 1)


def _sample_curtain(style: HairStyle, chin_height: float, rng: np.random.Generator) -> _Curtain:
    """Ends at a random length below the chin (template heights, m), open around the face."""
    length = rng.uniform(0.40, 0.56) if style == "long" else rng.uniform(0.60, 0.655)
    ends = length + (chin_height - TEMPLATE_CHIN)
    opening = rng.uniform(0.80, 1.05)
    angles = np.linspace(opening, 2 * math.pi - opening, COLUMNS)
    wave, wave_count, phase = rng.uniform(0, 0.006), rng.uniform(5, 14), rng.uniform(0, 6)
    flare = rng.uniform(-0.1, 0.35)
    ragged = 0.010 * rng.normal(size=COLUMNS)
    behind = np.clip((np.minimum(angles, 2 * math.pi - angles) - opening) / 0.5, 0, 1)
    tips = ends + 0.008 * np.sin(angles * 9 + phase) + ragged + 0.03 * (1 - behind)
    return _Curtain(angles, tips, wave, wave_count, phase, flare)


def hang_hair(
    model: HeadModel,
    vertices: Array,
    style: HairStyle,
    shell: Shell,
    base: float,
    rng: np.random.Generator,
) -> RigidPiece:
    """A curtain of hair around the back and sides of the head; ``base`` is its thickness (m)."""
    centre = head_centre(model, vertices)
    curtain = _sample_curtain(style, vertices[model.landmarks.jaw[CHIN], 2], rng)
    hair = vertices[shell.patch.pairs].mean(1)
    radius = _hair_radius(hair, centre, curtain.angles) + base * 0.75
    shares = np.linspace(0, 1, ROWS)
    points = np.concatenate([curtain.row(centre, radius, share) for share in shares])
    with_head = np.clip((points[:, 2] - (centre[2] - 0.18)) / 0.16, 0, 1)
    return _hair_piece(points, centre, strip_triangles(ROWS, COLUMNS), 0.35 + 0.65 * with_head)


def tie_bun(model: HeadModel, vertices: Array, rng: np.random.Generator) -> RigidPiece:
    """A ball of hair on top or at the back of the head."""
    centre = head_centre(model, vertices)
    around, down = np.meshgrid(
        np.linspace(0, 2 * math.pi, BUN_MERIDIANS), np.linspace(0, math.pi, BUN_PARALLELS)
    )
    size, tilt = rng.uniform(0.028, 0.045), rng.uniform(0.3, 1.5)
    place = centre + np.array([0, math.sin(tilt) * 0.105, 0.02 + math.cos(tilt) * 0.115])
    radius = size * (1 + 0.06 * np.sin(around * 5 + down * 9))
    x, y = radius * np.sin(down) * np.cos(around), radius * np.sin(down) * np.sin(around)
    ball = np.stack([x, y, 0.85 * radius * np.cos(down)], -1).reshape(-1, 3)
    points = ball + place
    triangles = strip_triangles(BUN_PARALLELS, BUN_MERIDIANS)[:, [0, 2, 1]]  # facing outwards
    return _hair_piece(points, centre, triangles, np.ones(len(points)))


def _hair_piece(points: Array, centre: Array, triangles: Array, head_weight: Array) -> RigidPiece:
    template = points - centre + CHART_CENTRE
    return RigidPiece(
        Part.HAIR_BODY,
        points.astype(np.float32),
        triangles,
        head_weight.astype(np.float32),
        template.astype(np.float32),
    )
