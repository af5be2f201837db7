"""Light: shadow map, wrapped diffuse, ambient sky and ground, skin and hair highlights.

Diffuse light wraps past the terminator, which imitates scattering in skin; highlights are
Blinn-Phong with a Fresnel term; hair highlights follow J. T. Kajiya and T. L. Kay, "Rendering fur
with three dimensional textures", SIGGRAPH 1989.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..frame import Light
from ..head.regions import Part
from ..head.rotation import direction
from ..numerics import unit_rows
from ..raster import Backend, rasterize
from .material import HairStrands, Material
from .surface import Surface

SHADOW_EXTENT = 0.42
"""Width (m) of the region that casts shadows."""
SHADOW_TEXELS, SHADOW_TEXELS_LARGE = 256, 384
LARGE_PICTURE = 128
"""Pictures above this size (pixels) use the larger shadow map."""
SHADOW_TAPS = ((0.0, 0.0), (1.0, 0.4), (-0.4, 1.0), (-1.0, -0.4), (0.4, -1.0))
"""Offsets of the filter, times its radius."""
SHADOW_RADIUS = 1.6
"""Texels, for softness 1."""
EMPTY_SHADOW_DEPTH = 9.0


@dataclass(frozen=True)
class ShadowMap:
    """Depth seen from the key light (parallel projection around ``centre``)."""

    centre: Tensor
    towards: Tensor
    right: Tensor
    up: Tensor
    depth: Tensor
    """[texels, texels]."""

    @classmethod
    def cast(
        cls,
        vertices: Tensor,
        triangles: Tensor,
        centre: Tensor,
        light: Light,
        picture_size: int,
        backend: Backend,
    ) -> ShadowMap:
        """Rasterize the mesh from the key light."""
        texels = SHADOW_TEXELS if picture_size <= LARGE_PICTURE else SHADOW_TEXELS_LARGE
        towards = direction(light.key_azimuth, light.key_elevation)
        right = unit_rows(torch.linalg.cross(torch.tensor([0.0, 0.0, 1.0]), towards)[None])[0]
        up = torch.linalg.cross(towards, right)
        empty = cls(centre, towards, right, up, torch.empty(texels, texels))
        column, row, depth = empty._project(vertices)
        points = torch.stack([column, row, depth], 1).contiguous()
        _, nearest = rasterize(points, triangles, texels, backend=backend)
        return cls(centre, towards, right, up, nearest)

    def _project(self, points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Column, row (texels) and depth (m) of points [n, 3]."""
        offset, texels = points - self.centre, len(self.depth)
        column = (offset @ self.right / SHADOW_EXTENT + 0.5) * texels
        row = (0.5 - offset @ self.up / SHADOW_EXTENT) * texels
        return column, row, 2 - offset @ self.towards

    def visibility(self, surface: Surface, normal: Tensor, softness: float) -> Tensor:
        """Share [p] of the key light that arrives, 0.06..1, filtered over five texels."""
        column, row, depth = self._project(surface.position)
        position, texels = torch.stack([column, row], 1), len(self.depth)
        nearest = self.depth.reshape(-1).clamp_max(EMPTY_SHADOW_DEPTH)
        bias = 0.0028 + 0.004 * (1 - (normal * self.towards).sum(1).clamp(0, 1))
        lit = torch.zeros(len(position))
        for tap in SHADOW_TAPS:
            shifted = position + torch.tensor(tap) * (SHADOW_RADIUS * softness)
            texel = shifted.clamp(0, texels - 1).long()
            lit += (depth <= nearest[texel[:, 1] * texels + texel[:, 0]] + bias).float()
        lit = lit / len(SHADOW_TAPS)
        eye = (surface.part == Part.EYE_LEFT) | (surface.part == Part.EYE_RIGHT)
        lit = torch.where(eye, 0.35 + 0.65 * lit, lit)
        return 0.06 + 0.94 * lit


@dataclass(frozen=True)
class _Source:
    """A light from afar: direction [3], colour [3], and how much of it arrives [p]."""

    towards: Tensor
    colour: Tensor
    arriving: Tensor


def _bleed(share: Tensor, wrap: Tensor) -> Tensor:
    """Share [p] of light spread to [p, 3]: scattering colours the edges of shadows."""
    return share[:, None] + (share.sqrt() - share)[:, None] * wrap


def _wrapped(cosine: Tensor, wrap: Tensor) -> Tensor:
    """Diffuse response [p, 3]: a power of the wrapped cosine, in its quadratic approximation."""
    x = ((cosine[:, None] + wrap) * (1 / (1 + wrap))).clamp(0, 1)
    falloff = 0.6 * wrap
    return x * (1 - falloff + falloff * x)


def _diffuse(material: Material, light: Light, key: _Source, fill: _Source) -> Tensor:
    """Light [p, 3] arriving at each point from all sides."""
    normal, wrap = material.normal, material.wrap
    shadow = _bleed(key.arriving, 0.9 * wrap)
    occlusion = _bleed(material.occlusion.clamp_min(0), 0.7 * wrap)
    upward = (0.5 + 0.5 * normal[:, 2])[:, None]
    ambient = torch.from_numpy(light.sky) * upward + torch.from_numpy(light.ground) * (1 - upward)
    from_key = key.colour * _wrapped((normal * key.towards).sum(1), wrap)
    from_fill = fill.colour * _wrapped((normal * fill.towards).sum(1), wrap)
    return (
        ambient * occlusion + from_key * shadow * (0.55 + 0.45 * occlusion) + from_fill * occlusion
    )


def _highlight(surface: Surface, material: Material, source: _Source) -> Tensor:
    """Blinn-Phong highlight [p, 3]."""
    normal, shininess = material.normal, material.shininess
    fresnel = 0.35 + 0.65 * (1 - (normal * surface.view).sum(1).clamp(0, 1)) ** 4
    halfway = unit_rows(surface.view + source.towards)
    lobe = (normal * halfway).sum(1).clamp(0, 1) ** shininess
    facing = (normal * source.towards).sum(1) > 0
    strength = lobe * material.specular * fresnel * (shininess + 8) / 26 * source.arriving * facing
    return strength[:, None] * source.colour


def _hair_highlight(
    surface: Surface, material: Material, hair: HairStrands, source: _Source
) -> Tensor:
    """Kajiya-Kay highlight [h, 3] in two lobes, tinted by the hair."""
    points = hair.points
    halfway = unit_rows(surface.view[points] + source.towards)
    along = (hair.tangent * halfway).sum(1)
    sine = torch.sqrt((1 - along**2).clamp(0, 1))
    lobes = sine**60 * 0.10 + sine**14 * 0.05
    facing = (material.normal[points] @ source.towards + 0.2).clamp(0, 1)
    strength = lobes * source.arriving[points] * facing * (1 + 0.7 * hair.strand)
    albedo = material.albedo[points]
    tint = 0.3 + 0.7 * albedo / albedo.amax(1, keepdim=True).clamp_min(0.02)
    return strength[:, None].clamp_min(0) * source.colour * tint


def shade(surface: Surface, material: Material, light: Light, shadow: ShadowMap) -> Tensor:
    """Linear RGB [p, 3] of all points."""
    visible = shadow.visibility(surface, material.normal, light.shadow_softness)
    fill_direction = direction(light.fill_azimuth, light.fill_elevation)
    key = _Source(shadow.towards, torch.from_numpy(light.key_colour), visible)
    fill = _Source(fill_direction, torch.from_numpy(light.fill_colour), material.occlusion)
    colour = material.albedo * _diffuse(material, light, key, fill)
    for source in (key, fill):
        colour = colour + _highlight(surface, material, source)
    if material.hair is not None:
        for source in (key, fill):
            colour[material.hair.points] += _hair_highlight(
                surface, material, material.hair, source
            )
    return colour
