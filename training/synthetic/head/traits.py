"""Who a portrait shows: body traits, the head shape they give, and the personal way to emote.

The phenotype controls (gender, age, muscle, weight, ethnicity) are those of MakeHuman / MPFB2 (CC0)
and are geometric controls only: their sampling describes no population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magicface_core.aus import AU_ORDER

from ..numerics import Array, smoothstep
from .au_basis import FAMILIES, SIDES
from .head_model import HeadModel, eye_centers

AGE_ANCHORS = {"child": 1 / 3, "young": 2 / 3, "old": 1.0}
"""Ages (MakeHuman's 0..1 scale) at which the stored shapes stand; they blend linearly between."""
LOCAL_AMPLITUDE = 0.62
"""Size of the random local shape changes, in units of MakeHuman's full range."""
SIDE_ASYMMETRY = 0.08
TEMPLATE_EYES_TO_MOUTH = 0.0675
"""Height (m) of the template's eyes above its mouth corners."""

BODY_CHANGES = (
    "arm", "breast", "nipple", "torso", "stomach", "hip", "waist", "bust", "shoulder-dist",
    "frontchest", "trans-out", "head-angle", "head-trans", "neck-trans",
)  # fmt: skip
"""Local changes (parts of names) that are left alone."""
HALVED_CHANGES = (
    "head-scale", "neck-scale-vert", "measure-neck-height", "nubian", "forehead-scale",
    "ear-trans", "triangle", "chin-height", "nose-point-up", "eyebrows-trans-forward",
    "eye-scale", "mouth-trans-forward", "mouth-scale-depth", "forehead-trans", "neck-double",
    "ear-wing", "push", "prognathism", "prominent", "laugh-lines", "eye-bag", "eyefold", "height",
)  # fmt: skip
REDUCED_CHANGES = (
    "mouth-angles", "eyebrows-angle", "head-age", "eye-corner", "mouth-trans-up",
    "upperlip-ext", "lowerlip-ext", "lip-height", "lip-middle",
)  # fmt: skip
"""Changes that would look like an expression or a deformity: used at half, or at 0.3."""


@dataclass(frozen=True)
class Traits:
    """Phenotype controls, each 0..1; race [3] (african, asian, caucasian) sums to one."""

    female: bool
    gender: float
    age: float
    muscle: float
    weight: float
    race: Array

    @property
    def child(self) -> bool:
        """Below about 14 years."""
        return self.age < 0.48

    @property
    def old(self) -> float:
        """0 up to middle age, 1 in high age."""
        return float(smoothstep(0.70, 0.97, self.age))


def _sample_age(rng: np.random.Generator) -> float:
    if rng.random() < 0.07:
        return rng.uniform(0.34, 0.47)
    if rng.random() < 0.7:
        return rng.uniform(0.52, 0.72)
    return rng.uniform(0.72, 0.97)


def sample_traits(rng: np.random.Generator) -> Traits:
    """Random traits: 7 % children, 30 % of the rest above middle age."""
    female = bool(rng.random() < 0.5)
    mean_gender = 0.93 if female else 0.07
    return Traits(
        female=female,
        gender=float(np.clip(mean_gender + 0.06 * rng.normal(), 0, 1)),
        age=_sample_age(rng),
        muscle=rng.uniform(0.3, 0.75),
        weight=float(np.clip(rng.normal(0.5, 0.2), 0.08, 0.97)),
        race=rng.dirichlet([0.55, 0.55, 0.55]).astype(np.float32),
    )


def _local_amplitude(name: str) -> float:
    if any(part in name for part in REDUCED_CHANGES):
        return LOCAL_AMPLITUDE * 0.3
    if any(part in name for part in HALVED_CHANGES):
        return LOCAL_AMPLITUDE * 0.5
    return LOCAL_AMPLITUDE


def sample_local_changes(names: list[str], rng: np.random.Generator) -> dict[str, float]:
    """Random weight for each local change; left (l-) and right (r-) twins differ by a little."""
    weights: dict[str, float] = {}
    shared: dict[str, float] = {}
    for name in names:
        if any(part in name for part in BODY_CHANGES):
            continue
        sided = name.startswith(("l-", "r-"))
        key = name[2:] if sided else name
        if key not in shared:
            shared[key] = float(np.clip(rng.normal() * 0.5, -1.1, 1.1))
        asymmetry = SIDE_ASYMMETRY * rng.normal() if sided else 0.0
        weights[name] = _local_amplitude(name) * (shared[key] + asymmetry)
    return weights


def _three_way(value: float, low: str, middle: str, high: str) -> dict[str, float]:
    """Blend weights of three anchors at 0, 1/2 and 1."""
    return {
        low: max(0, 1 - 2 * value),
        middle: 1 - abs(2 * value - 1),
        high: max(0, 2 * value - 1),
    }


def _phenotype_weights(traits: Traits) -> dict[str, float]:
    ages = {
        name: float(np.clip(1 - abs(traits.age - anchor) * 3, 0, 1))
        for name, anchor in AGE_ANCHORS.items()
    }
    return {
        **ages,
        "male": 1 - traits.gender,
        "female": traits.gender,
        **_three_way(traits.muscle, "minmuscle", "averagemuscle", "maxmuscle"),
        **_three_way(traits.weight, "minweight", "averageweight", "maxweight"),
        **dict(zip(("african", "asian", "caucasian"), traits.race, strict=True)),
    }


def neutral_head(model: HeadModel, traits: Traits, local_changes: dict[str, float]) -> Array:
    """Vertices [N, 3] float32 (m) of a neutral face with closed lips."""
    pack = model.pack
    weights = _phenotype_weights(traits)
    cells = [np.prod([weights[name] for name in key]) for key in pack.phenotype_keys]
    phenotype = np.array(cells, np.float32) @ pack.phenotype_shapes
    vertices = pack.template + phenotype.reshape(-1, 3)
    index = {name: i for i, name in enumerate(pack.local_names)}
    for name, weight in local_changes.items():
        shape = pack.local_shapes[index[name], 0 if weight > 0 else 1]
        vertices = vertices + abs(weight) * shape
    return model.lip_seal.close(vertices.astype(np.float32))


def face_scale(model: HeadModel, vertices: Array) -> float:
    """Size of a face relative to the template: mean of eye distance and eye-to-mouth height."""
    left, right = eye_centers(model.pack, vertices)
    template_left, template_right = eye_centers(model.pack, model.pack.template)
    mouth = vertices[model.landmarks.mouth_corners.numpy()].mean(0)
    width = np.linalg.norm(left - right) / np.linalg.norm(template_left - template_right)
    height = ((left + right)[2] / 2 - mouth[2]) / TEMPLATE_EYES_TO_MOUTH
    return float(0.5 * width + 0.5 * height)


def sample_expression_gain(traits: Traits, rng: np.random.Generator) -> Tensor:
    """How strongly a person shows each action unit: gains [12 * SIDES * FAMILIES] around 1.

    Spread (standard deviation): face units 12 %, expression units 35 %, one side 5 %.
    """
    units = len(AU_ORDER)
    gain = np.ones((units, SIDES, FAMILIES), np.float32)
    gain[:, :, 0] *= 1 + 0.12 * rng.normal(size=(units, 1))
    gain[:, :, 1:] *= np.clip(1 + 0.35 * rng.normal(size=(units, 1, 1)), 0.3, 1.7)
    gain *= 1 + 0.05 * rng.normal(size=(1, SIDES, 1))
    gain[:, :, 1:] *= traits.race[None, None]
    return torch.from_numpy(np.clip(gain, 0.0, 1.9).reshape(-1))
