"""Eyes, teeth, tongue, hair, garment and glasses of the shaded points."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ..head.head_model import HeadModel
from ..head.regions import FaceClass, Part
from ..looks.appearance import Appearance
from ..looks.identity import Identity
from ..numerics import blend, smoothstep_torch, unit_rows
from .material import HairStrands, Material
from .pose import PosedMesh
from .surface import Surface

EYE_RADIUS = 0.0149
"""m, on the template."""
PUPIL_ALBEDO = 0.006
VEIN_TINT = (0.08, 0.35, 0.32)
TONGUE_COLOUR = (0.42, 0.12, 0.12)
FABRIC_THREADS = 2500
"""Threads of a fabric, radians per metre."""


def _eye_colour(appearance: Appearance, radius: Tensor, angle: Tensor) -> Tensor:
    """Albedo [e, 3] at distances ``radius`` (eyeball radii) and angles around the pupil."""
    iris_radius, pupil_radius = appearance.iris_radius, appearance.pupil_radius
    veins = smoothstep_torch(0.45, 0.95, radius)[:, None] * torch.tensor(VEIN_TINT)
    sclera = torch.from_numpy(appearance.sclera) * torch.exp(-veins)
    fibres = torch.sin(angle * 23 + 3 * torch.sin(angle * 7))
    fibres = 1 + 0.22 * fibres * smoothstep_torch(0.12, 0.3, radius)
    towards_pupil = smoothstep_torch(iris_radius, pupil_radius, radius)
    iris = torch.from_numpy(appearance.iris) * (fibres * (0.75 + 0.54 * towards_pupil))[:, None]
    limbus = smoothstep_torch(iris_radius - 0.10, iris_radius, radius)[:, None]
    iris = iris * (1 - 0.75 * limbus)
    in_iris = smoothstep_torch(iris_radius + 0.025, iris_radius - 0.02, radius)[:, None]
    in_pupil = smoothstep_torch(pupil_radius + 0.03, pupil_radius - 0.01, radius)[:, None]
    eye = blend(sclera, iris, in_iris)
    return eye * (1 - in_pupil) + PUPIL_ALBEDO * in_pupil


def paint_eyes(
    material: Material, surface: Surface, model: HeadModel, identity: Identity, posed: PosedMesh
) -> None:
    """Iris, pupil and sclera, shaded by the lids above and below."""
    up = posed.head_rotation[:, 2]
    for side, part in enumerate((Part.EYE_LEFT, Part.EYE_RIGHT)):
        points = torch.nonzero(surface.part == part).squeeze(1)
        outward = unit_rows(surface.template[points] - model.eye_centers[side])
        radius = torch.sqrt((1 - outward[:, 1] ** 2).clamp_min(0))
        radius = torch.where(outward[:, 1] > 0, 2 - radius, radius)
        angle = torch.atan2(outward[:, 2], outward[:, 0])
        material.albedo[points] = _eye_colour(identity.appearance, radius, angle)
        material.specular[points] = 0.9
        material.shininess[points] = 260.0
        material.wrap[points] = 0.25
        material.classes[points] = FaceClass.EYE
        height = ((surface.position[points] - posed.eyes[side]) @ up) / (
            EYE_RADIUS * identity.scale
        )
        upper_lid = 1 - 0.55 * smoothstep_torch(0.05, 0.55, height)
        lower_lid = 1 - 0.25 * smoothstep_torch(-0.2, -0.6, height)
        material.occlusion[points] = material.occlusion[points] * upper_lid * lower_lid


def paint_mouth_parts(material: Material, surface: Surface, appearance: Appearance) -> None:
    """Teeth with dark gaps, and the tongue."""
    teeth = (surface.part == Part.TEETH_LOWER) | (surface.part == Part.TEETH_UPPER)
    gaps = smoothstep_torch(0.0, 0.25, torch.sin(surface.template[teeth][:, 0] * 430.0).abs())
    shade = 0.55 + 0.45 * gaps
    material.albedo[teeth] = torch.from_numpy(appearance.teeth) * shade[:, None]
    material.specular[teeth] = 0.35
    material.shininess[teeth] = 60.0
    tongue = surface.part == Part.TONGUE
    material.albedo[tongue] = torch.tensor(TONGUE_COLOUR)
    material.specular[tongue] = 0.3
    material.shininess[tongue] = 40.0
    material.wrap[teeth | tongue] = 0.2
    material.classes[teeth | tongue] = FaceClass.MOUTH


def _strand_pattern(
    model: HeadModel, identity: Identity, template: Tensor, angle: Tensor
) -> Tensor:
    """Light and dark strands [h], about -1..1: curls on an afro, nearly none on a cap."""
    style, height = identity.appearance.hair_style, template[:, 2]
    if style == "afro":
        first = torch.sin(template @ torch.tensor([900.0, 500, 700]))
        return first * torch.sin(template @ torch.tensor([-600.0, 800, 900]))
    waver = 0.15 * torch.sin(height * 40 + identity.seed)
    grid = torch.stack([angle / math.pi + waver, (height - 0.62) / 0.12 - 1], 1)
    strands = F.grid_sample(
        model.strands, grid[None, None], padding_mode="reflection", align_corners=False
    )[0, 0, 0]
    return strands * 0.2 if style == "cap" else strands


def _hair_tangent(normal: Tensor, down: Tensor, strand: Tensor) -> Tensor:
    """Hair lies on the surface and falls, swaying with the strand pattern: unit vectors [h, 3]."""
    along = down - normal * (down * normal).sum(1, keepdim=True)
    sway = 0.12 * strand[:, None] * torch.linalg.cross(normal, down)
    return unit_rows(along + sway)


def paint_hair(
    material: Material, surface: Surface, model: HeadModel, identity: Identity, up: Tensor
) -> None:
    """Hair on shell, curtain and bun (or a cap in its place); ``up`` [3] is the head's."""
    is_hair = (surface.part == Part.HAIR_SHELL) | (surface.part == Part.HAIR_BODY)
    points = torch.nonzero(is_hair).squeeze(1)
    if len(points) == 0:
        return
    appearance = identity.appearance
    template, normal = surface.template[points], surface.normal[points]
    strand = _strand_pattern(model, identity, template, surface.angle[points])
    capped = appearance.hair_style == "cap"
    colour = torch.from_numpy(appearance.fabrics[1] if capped else appearance.hair)
    material.albedo[points] = colour * torch.exp(0.42 * strand)[:, None]
    material.specular[points] = 0
    material.wrap[points] = 0.25
    material.classes[points] = FaceClass.HAIR
    tangent = _hair_tangent(normal, -up.expand(len(points), 3), strand)
    material.hair = HairStrands(points, tangent, strand)
    ridges = 0.22 * strand[:, None] * torch.linalg.cross(normal, tangent)
    material.normal[points] = unit_rows(normal + ridges)
    hanging = surface.part[points] == Part.HAIR_BODY
    below_head = 0.55 + 0.45 * smoothstep_torch(-0.14, 0.02, template[:, 2] - 0.75)
    depth = torch.where(hanging, below_head, torch.ones(len(points)))
    between = 0.72 + 0.28 * torch.tanh(strand + 0.6)
    material.occlusion[points] = material.occlusion[points] * between * depth


def _fabric_pattern(pattern: int, frequency: float, x: Tensor, z: Tensor) -> Tensor:
    """Share 0..1 of the second colour: plain, stripes across, upright stripes, checks."""

    def stripes(position: Tensor, factor: int) -> Tensor:
        return smoothstep_torch(-0.1, 0.1, torch.sin(position * frequency * factor))

    if pattern == 0:
        return torch.zeros_like(x)
    if pattern == 1:
        return stripes(z, 3)
    if pattern == 2:
        return stripes(x, 3)
    return 0.5 * stripes(z, 2) + 0.5 * stripes(x, 2)


def paint_garment(material: Material, surface: Surface, identity: Identity, collar: Tensor) -> None:
    """Fabric on the garment and on the skin points under its collar."""
    garment = torch.nonzero(surface.part == Part.GARMENT).squeeze(1)
    points = torch.cat([garment, collar])
    appearance, template = identity.appearance, surface.template[points]
    x, z = template[:, 0], template[:, 2]
    share = _fabric_pattern(appearance.pattern, appearance.pattern_frequency, x, z)[:, None]
    ground, second = (torch.from_numpy(appearance.fabrics[i]) for i in (0, 2))
    threads = 1 + 0.06 * torch.sin(x * FABRIC_THREADS) * torch.sin(z * FABRIC_THREADS)
    material.albedo[points] = blend(ground, second, share) * threads[:, None]
    material.specular[points] = 0.03
    material.shininess[points] = 10.0
    material.wrap[points] = 0.1
    material.classes[points] = FaceClass.CLOTH
    folds = torch.sin(template @ torch.tensor([70.0, 25, 55]) + identity.seed) * 0.18
    tilt = folds[:, None] * torch.tensor([0.7, 0, 0.7])
    material.normal[points] = unit_rows(material.normal[points] + tilt)


def paint_glasses(material: Material, surface: Surface, appearance: Appearance) -> None:
    """Shiny frames."""
    points = surface.part == Part.GLASSES
    material.albedo[points] = torch.from_numpy(appearance.glasses_colour)
    material.specular[points] = 0.6
    material.shininess[points] = 60.0
    material.classes[points] = FaceClass.GLASSES
