"""One person: head shape, way to emote, looks, and everything worn, from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..head.head_model import HeadModel
from ..head.mesh import PortraitMesh, build_mesh
from ..head.shells import RigidPiece
from ..head.traits import (
    Traits,
    face_scale,
    neutral_head,
    sample_expression_gain,
    sample_local_changes,
    sample_traits,
)
from ..numerics import Array
from .appearance import Appearance, sample_appearance
from .clothes import wear_garment
from .glasses import wear_glasses
from .hair import grow_hair
from .long_hair import hang_hair, tie_bun
from .skin import SkinPaint, paint_skin

IDENTITY_STREAM = 7919
"""First word of the random stream of identities, which keeps it apart from all others."""


@dataclass(frozen=True, eq=False)
class Identity:
    """Everything about a portrait that no frame changes."""

    seed: int
    vertices: Tensor
    """[N, 3] float32: neutral face with closed lips, m."""
    scale: float
    """Size of the face relative to the template."""
    traits: Traits
    expression_gain: Tensor
    """[96] personal strength of each action unit, side and family of targets."""
    appearance: Appearance
    skin: SkinPaint
    mesh: PortraitMesh


def sample_identity(model: HeadModel, seed: int) -> Identity:
    """The identity of ``seed``; the same every time. Takes about 0.1 s."""
    rng = np.random.default_rng([IDENTITY_STREAM, seed])
    traits = sample_traits(rng)
    local_changes = sample_local_changes(model.pack.local_names, rng)
    vertices = neutral_head(model, traits, local_changes)
    scale = face_scale(model, vertices)
    expression_gain = sample_expression_gain(traits, rng)
    appearance = sample_appearance(traits, rng)
    skin = paint_skin(model, traits, appearance, rng)
    mesh = _dress(model, vertices, scale, traits, appearance, rng)
    return Identity(
        seed=seed,
        vertices=torch.from_numpy(vertices),
        scale=scale,
        traits=traits,
        expression_gain=expression_gain,
        appearance=appearance,
        skin=skin,
        mesh=mesh,
    )


def _dress(
    model: HeadModel,
    vertices: Array,
    scale: float,
    traits: Traits,
    appearance: Appearance,
    rng: np.random.Generator,
) -> PortraitMesh:
    """Hair, garment and glasses; the order of the draws is part of what a seed means."""
    style = appearance.hair_style
    hair = grow_hair(model, style, traits, rng)
    garment = wear_garment(model, appearance.neckline, rng)
    pieces: list[RigidPiece] = []
    if style in ("long", "bob") and hair.shell is not None:
        pieces.append(hang_hair(model, vertices, style, hair.shell, hair.base, rng))
    if style == "bun":
        pieces.append(tie_bun(model, vertices, rng))
    if appearance.glasses is not None:
        pieces += wear_glasses(model, vertices, scale, appearance.glasses)
    return build_mesh(model, hair.shell, garment, pieces)
