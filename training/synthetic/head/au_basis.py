"""What each action unit does to the mesh: weights of the pack's shape targets at intensity 5.

The targets are CC0 (MakeHuman / MPFB2 and the Face Units of M. Suominen, see `head_pack`). They
were matched to the action units by what they move, and weighted by eye. Intensities blend
linearly; they were not calibrated by certified FACS coders.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magicface_core.aus import AU_ORDER

from ..numerics import Array, smoothstep
from .head_pack import HeadPack
from .regions import Part

SIDES = 2
"""The subject's left (0) and right (1)."""
FAMILIES = 4
"""Families of targets: face units, then expression units african, asian, caucasian."""
MIDLINE_BLEND = 0.004
"""Half width (m) of the strip in which left and right blend."""


@dataclass(frozen=True)
class Targets:
    """Target weights at intensity 5; ``*`` in a name stands for both sides."""

    face_units: dict[str, float]
    expression_units: dict[str, float]


AU_TARGETS: dict[int, Targets] = {
    1: Targets({"browInnerUp": 1.35}, {"eyebrows-*-inner-up": 0.95}),
    2: Targets({"browOuterUp*": 0.95, "browInnerUp": 0.15}, {"eyebrows-*-extern-up": 0.45}),
    4: Targets({"browDown*": 1.0}, {"eyebrows-*-down": 0.75}),
    5: Targets({"eyeWide*": 1.0}, {"eye-*-opened-up": 0.35}),
    6: Targets({"cheekSquint*": 1.1, "eyeSquint*": 0.75}, {}),
    9: Targets(
        {"noseSneer*": 1.25, "browDown*": 0.22, "mouthUpperUp*": 0.12},
        {"nose-*-elevation": 0.7, "nose-compression": 0.25},
    ),
    12: Targets({"mouthSmile*": 0.85}, {"mouth-corner-puller": 0.35}),
    15: Targets({"mouthFrown*": 1.05}, {"mouth-depression": 0.55}),
    17: Targets({"mouthShrugLower": 1.25, "mouthShrugUpper": 0.55}, {"mouth-eversion": 0.40}),
    20: Targets({"mouthStretch*": 1.2}, {"mouth-retraction": 0.85, "neck-platysma": 0.22}),
    25: Targets({"mouthLowerDown*": 1.15, "mouthUpperUp*": 0.60, "jawOpen": 0.10}, {}),
    26: Targets({"jawOpen": 0.62}, {}),
}


def _weighted_sum(
    targets: dict[str, Array], weights: dict[str, float], sides: tuple[str, str]
) -> Array:
    """Sum of named offsets; ``*`` is replaced by each of ``sides`` in turn."""
    total = np.zeros_like(next(iter(targets.values())))
    for pattern, weight in weights.items():
        names = [pattern.replace("*", side) for side in sides] if "*" in pattern else [pattern]
        total = total + sum(targets[name] for name in names) * weight
    return total


def _unit_offsets(pack: HeadPack, number: int) -> Array:
    """Offsets [FAMILIES, N, 3] of one action unit at intensity 5."""
    targets = AU_TARGETS[number]
    face = _weighted_sum(pack.face_units, targets.face_units, ("Left", "Right"))
    expression = _weighted_sum(pack.expression_units, targets.expression_units, ("left", "right"))
    return np.concatenate([face[None], expression])


def _look(pack: HeadPack, direction: str) -> Array:
    """Lid movement that goes with the gaze; the eyeballs themselves are turned rigidly."""
    both = pack.face_units[f"eyeLook{direction}Left"] + pack.face_units[f"eyeLook{direction}Right"]
    eyeballs = (pack.part == Part.EYE_LEFT) | (pack.part == Part.EYE_RIGHT)
    return both * ~eyeballs[:, None]


@dataclass(frozen=True)
class ExpressionBasis:
    """Vertex offsets (m) of everything that moves the face, flattened to 3 N."""

    action_units: Tensor
    """[12 * SIDES * FAMILIES, 3 N] at intensity 5, in the order of `AU_ORDER`."""
    blink: Tensor
    """[3 N] both eyes closed."""
    look_down: Tensor
    look_up: Tensor
    """[3 N] lids at 25 degrees of gaze."""

    @classmethod
    def build(cls, pack: HeadPack) -> ExpressionBasis:
        """Split every action unit into left and right half and stack the families."""
        left = smoothstep(-MIDLINE_BLEND, MIDLINE_BLEND, pack.template[:, 0])[:, None]
        offsets = np.stack([_unit_offsets(pack, number) for number in AU_ORDER])
        halves = np.stack([offsets * left, offsets * (1 - left)], 1)
        blink = pack.face_units["eyeBlinkLeft"] + pack.face_units["eyeBlinkRight"]
        return cls(
            action_units=torch.from_numpy(halves.reshape(len(AU_ORDER) * SIDES * FAMILIES, -1)),
            blink=torch.from_numpy(blink.reshape(-1)),
            look_down=torch.from_numpy(_look(pack, "Down").reshape(-1)),
            look_up=torch.from_numpy(_look(pack, "Up").reshape(-1)),
        )
