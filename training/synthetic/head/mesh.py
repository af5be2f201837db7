"""The mesh of one portrait: base head, hair and garment shells, rigid pieces, in that order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics import Array
from .head_model import HeadModel
from .regions import TWO_SIDED_PARTS, Part
from .shells import RigidPiece, Shell

ADDED_OCCLUSION = 0.9
"""Ambient occlusion of everything that is not part of the base head."""


@dataclass(frozen=True)
class SkinShell:
    """A shell as the renderer needs it: base vertex pairs [n, 2] and thickness [n] (m)."""

    pairs: Tensor
    thickness: Tensor


@dataclass(frozen=True)
class VertexAttributes:
    """What the shading interpolates besides positions and normals; n vertices."""

    template: Tensor
    """[n, 3] position on the template (m), which charts and patterns are looked up with."""
    occlusion: Tensor
    lip: Tensor
    mouth_inside: Tensor
    ear: Tensor
    eye_cavity: Tensor
    """[n] region weights 0..1."""
    template_normal_z: Tensor
    """[n] upward part of the template's normal."""

    def stacked(self) -> Tensor:
        """All columns side by side, [n, 9]."""
        columns = (
            self.occlusion,
            self.lip,
            self.mouth_inside,
            self.ear,
            self.eye_cavity,
            self.template_normal_z,
        )
        return torch.cat([self.template, torch.stack(columns, 1)], 1)


@dataclass(frozen=True)
class PortraitMesh:
    """Topology and attributes of one identity; vertex positions depend on the frame."""

    triangles: Tensor
    """[t, 3]."""
    part: Tensor
    """[t] `Part`."""
    two_sided: Tensor
    """[t] bool."""
    attributes: VertexAttributes
    shells: tuple[SkinShell, ...]
    rigid_vertices: Tensor
    """[r, 3] m, in the neutral pose."""
    rigid_head_weight: Tensor
    """[r]."""


def build_mesh(
    model: HeadModel, hair: Shell | None, garment: Shell, pieces: Sequence[RigidPiece]
) -> PortraitMesh:
    """Join everything one identity wears."""
    worn = [(hair, Part.HAIR_SHELL)] if hair is not None else []
    shells = [*worn, (garment, Part.GARMENT)]
    triangles, parts, offset = [model.triangles], [model.triangle_part], len(model.template)
    for shell, part in shells:
        triangles.append(torch.from_numpy(shell.patch.triangles) + offset)
        parts.append(torch.full((len(shell.patch.triangles),), part))
        offset += len(shell.patch.pairs)
    for piece in pieces:
        triangles.append(torch.from_numpy(piece.triangles) + offset)
        parts.append(torch.full((len(piece.triangles),), piece.part))
        offset += len(piece.vertices)
    part_of_triangle = torch.cat(parts)
    skin_shells = tuple(
        SkinShell(torch.from_numpy(shell.patch.pairs), torch.from_numpy(shell.thickness))
        for shell, _ in shells
    )
    return PortraitMesh(
        triangles=torch.cat(triangles),
        part=part_of_triangle,
        two_sided=torch.isin(part_of_triangle, torch.tensor(TWO_SIDED_PARTS)),
        attributes=_attributes(model, skin_shells, pieces),
        shells=skin_shells,
        rigid_vertices=_joined([piece.vertices for piece in pieces], (0, 3)),
        rigid_head_weight=_joined([piece.head_weight for piece in pieces], (0,)),
    )


def _joined(arrays: Sequence[Array], empty: tuple[int, ...]) -> Tensor:
    return torch.cat([torch.zeros(empty), *(torch.from_numpy(array) for array in arrays)])


def _attributes(
    model: HeadModel, shells: Sequence[SkinShell], pieces: Sequence[RigidPiece]
) -> VertexAttributes:
    """Shell vertices take the template position of their skin; region weights end at the skin."""
    template = [model.template]
    template += [model.template[shell.pairs].mean(1) for shell in shells]
    template.append(_joined([piece.template for piece in pieces], (0, 3)))
    positions = torch.cat(template)
    added = len(positions) - len(model.template)

    def on_base(values: Tensor, elsewhere: float = 0.0) -> Tensor:
        return F.pad(values.float(), (0, added), value=elsewhere)

    pack = model.pack
    return VertexAttributes(
        template=positions,
        occlusion=on_base(model.occlusion, ADDED_OCCLUSION),
        lip=on_base(torch.from_numpy(pack.lip)),
        mouth_inside=on_base(torch.from_numpy(pack.mouth_inside)),
        ear=on_base(torch.from_numpy(pack.ear)),
        eye_cavity=on_base(torch.from_numpy(pack.eye_cavity)),
        template_normal_z=on_base(model.normals[:, 2]),
    )
