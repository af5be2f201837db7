"""How the shaded points respond to light, and their classes; filled in part by part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..head.regions import FaceClass
from .surface import Surface


@dataclass(frozen=True)
class HairStrands:
    """Direction of hair at hair points."""

    points: Tensor
    """[h] indices of the points."""
    tangent: Tensor
    """[h, 3] unit vectors."""
    strand: Tensor
    """[h] strand pattern, about -1..1."""


@dataclass
class Material:
    """Response of p points to light. The painters change its tensors in place."""

    albedo: Tensor
    """[p, 3] linear RGB."""
    specular: Tensor
    """[p] strength of the highlight."""
    shininess: Tensor
    """[p] Blinn-Phong exponent."""
    wrap: Tensor
    """[p, 3] how far light reaches past the terminator (scattering), per colour."""
    normal: Tensor
    """[p, 3] with relief."""
    occlusion: Tensor
    """[p] share of ambient light."""
    classes: Tensor
    """[p] `FaceClass`."""
    hair: HairStrands | None = None

    @classmethod
    def plain(cls, surface: Surface) -> Material:
        """Black and dull everywhere."""
        points = len(surface.part)
        return cls(
            albedo=torch.zeros(points, 3),
            specular=torch.full((points,), 0.1),
            shininess=torch.full((points,), 20.0),
            wrap=torch.zeros(points, 3),
            normal=surface.normal.clone(),
            occlusion=surface.occlusion.clone(),
            classes=torch.full((points,), FaceClass.SKIN, dtype=torch.long),
        )
