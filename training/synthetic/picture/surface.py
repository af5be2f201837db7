"""What each shaded point of the picture shows: geometry and attributes, before any colour."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..head.canonical import head_angle_torch
from ..head.regions import Part
from ..looks.identity import Identity
from ..numerics import unit_rows
from ..raster import NOTHING, Backend, interpolate
from .camera import Camera
from .pose import PosedMesh

SUPERSAMPLING = 2
"""Samples per pixel along each side."""
FLAT_DEPTH_RANGE = 0.004
"""Depth range (m) within which the samples of one pixel count as one surface."""
TURNED_PARTS = (Part.HAIR_BODY, Part.GLASSES, Part.TONGUE)
"""Thin parts whose normals are turned towards the viewer."""


@dataclass(frozen=True)
class Coverage:
    """Which samples are shaded: one per pixel inside a surface, all of them at edges.

    This is multisampling as graphics hardware does it, decided per pixel.
    """

    uniform: Tensor
    """[size, size] bool: one sample stands for the whole pixel."""
    samples: Tensor
    """[p] flat indices of shaded samples on the grid of size * SUPERSAMPLING."""

    @classmethod
    def find(cls, triangle_ids: Tensor, depth: Tensor, part: Tensor) -> Coverage:
        """From the raster [S, S] at sample resolution and the part [t] of each triangle."""
        n = SUPERSAMPLING
        size = len(triangle_ids) // n
        hit = triangle_ids != NOTHING
        parts = torch.where(hit, part[triangle_ids.clamp_min(0).long()], NOTHING)
        blocks, depths = parts.view(size, n, size, n), depth.view(size, n, size, n)
        corner = blocks[:, 0, :, 0]
        one_part = (blocks == corner[:, None, :, None]).all(3).all(1) & (corner >= 0)
        depth_range = depths.amax((1, 3)) - depths.amin((1, 3))
        uniform = one_part & (depth_range < FLAT_DEPTH_RANGE)
        spared = uniform[:, None, :, None].repeat(1, n, 1, n)
        spared[:, 0, :, 0] = False
        shaded = hit & ~spared.view(hit.shape)
        return cls(uniform, torch.nonzero(shaded.view(-1)).squeeze(1))

    def spread(self, values: Tensor) -> Tensor:
        """Copy the shaded sample of uniform pixels to the others; values [S * S, ...]."""
        n, size = SUPERSAMPLING, len(self.uniform)
        blocks = values.view(size, n, size, n, -1)
        uniform = self.uniform[:, None, :, None, None]
        return torch.where(uniform, blocks[:, :1, :, :1], blocks).reshape(values.shape)


@dataclass(frozen=True)
class Surface:
    """p shaded points."""

    part: Tensor
    """[p] `Part`."""
    template: Tensor
    """[p, 3] position on the template (m)."""
    angle: Tensor
    """[p] angle around the template head (radians)."""
    occlusion: Tensor
    lip: Tensor
    mouth_inside: Tensor
    ear: Tensor
    eye_cavity: Tensor
    """[p] weights 0..1."""
    template_normal_z: Tensor
    """[p]."""
    normal: Tensor
    position: Tensor
    """[p, 3] in space (m)."""
    view: Tensor
    """[p, 3] unit vectors towards the camera."""

    @property
    def height(self) -> Tensor:
        """[p] template z (m)."""
        return self.template[:, 2]


def find_surface(
    identity: Identity,
    posed: PosedMesh,
    camera: Camera,
    screen: Tensor,
    triangle_ids: Tensor,
    coverage: Coverage,
    backend: Backend,
) -> Surface:
    """Interpolate everything the shading needs at the shaded samples."""
    mesh = identity.mesh
    triangle = triangle_ids.view(-1)[coverage.samples].long()
    part = mesh.part[triangle]
    values = interpolate(
        screen,
        mesh.triangles,
        triangle,
        coverage.samples,
        len(triangle_ids),
        torch.cat([mesh.attributes.stacked(), posed.normals, posed.vertices], 1).contiguous(),
        backend,
    )
    template, weights, normal, position = values.split([3, 6, 3, 3], 1)
    occlusion, lip, mouth_inside, ear, eye_cavity, template_normal_z = weights.unbind(1)
    view = unit_rows(camera.view_vectors(position))
    normal = unit_rows(normal)
    backwards = (normal * view).sum(1) < 0
    thin = torch.isin(part, torch.tensor(TURNED_PARTS))
    return Surface(
        part=part,
        template=template,
        angle=head_angle_torch(template),
        occlusion=occlusion,
        lip=lip,
        mouth_inside=mouth_inside,
        ear=ear,
        eye_cavity=eye_cavity,
        template_normal_z=template_normal_z,
        normal=torch.where((backwards & thin)[:, None], -normal, normal),
        position=position,
        view=view,
    )
