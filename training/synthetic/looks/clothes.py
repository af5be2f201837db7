"""Garments as a shell over neck and shoulders."""

from __future__ import annotations

import numpy as np

from ..head.canonical import head_angle
from ..head.head_model import HeadModel
from ..head.shells import Shell
from ..numerics import smoothstep

NECKLINES = (
    ((0, 0.6, 1.4, 3.15), (0.562, 0.570, 0.583, 0.600)),
    ((0, 0.35, 0.8, 1.4, 3.15), (0.515, 0.545, 0.575, 0.585, 0.603)),
    ((0, 0.8, 1.6, 3.15), (0.600, 0.603, 0.608, 0.614)),
    ((0, 0.9, 1.35, 3.15), (0.535, 0.545, 0.575, 0.592)),
)
"""|theta| (radians) -> template z (m) of the collar: crew, V, turtleneck, scoop."""


def wear_garment(model: HeadModel, neckline: int, rng: np.random.Generator) -> Shell:
    """Cloth of random thickness and folds below the collar."""
    points = model.torso.midpoints(model.pack.template)
    collar = np.interp(np.abs(head_angle(points)), *NECKLINES[neckline])
    below = collar - points[:, 2]
    thickness = rng.uniform(0.003, 0.008) * smoothstep(0.006, 0.030, below)
    folds = np.sin(points @ np.array([60, 20.0, 45.0]) + rng.uniform(0, 6))
    # above the collar the shell sinks below the skin
    thickness = thickness * (1 + 0.25 * folds) - 0.010 * smoothstep(0.010, -0.002, below)
    return Shell(model.torso, thickness.astype(np.float32))
