"""From neutral mesh to posed mesh: expression, gaze, hair and clothes, head and body turn."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..frame import MAX_INTENSITY, Frame
from ..head.au_basis import FAMILIES, SIDES
from ..head.head_model import HeadModel
from ..head.regions import Part
from ..head.rotation import euler_matrix, rotate_weighted, rotation_vector
from ..looks.identity import Identity
from ..numerics import Array, vertex_normals

LID_LOOK_ANGLE = math.radians(25)
"""Gaze (radians) at which the lids' look shapes apply fully."""


@dataclass(frozen=True)
class PosedMesh:
    """Vertices [n, 3] (m) of the whole mesh and the head's rotation [3, 3]."""

    vertices: Tensor
    head_rotation: Tensor
    normals: Tensor
    eyes: Tensor
    """[2, 3] centres of the eyeballs, subject's left first."""


def expression_offsets(model: HeadModel, identity: Identity, frame: Frame) -> Tensor:
    """Vertex offsets [N, 3] (m): linear in the intensities, with personal gains and asymmetry."""
    sides = np.repeat((frame.au / MAX_INTENSITY)[:, None], SIDES, 1) * frame.asymmetry
    weights = torch.from_numpy(sides.astype(np.float32))[:, :, None]
    weights = weights.expand(*sides.shape, FAMILIES).reshape(-1) * identity.expression_gain
    active = torch.nonzero(weights).squeeze(1)
    basis = model.basis
    offsets = weights[active] @ basis.action_units[active]
    look = math.radians(frame.gaze[1]) / LID_LOOK_ANGLE
    offsets = offsets + (basis.look_down * max(0, -look) + basis.look_up * max(0, look))
    offsets = offsets + frame.blink * basis.blink
    return offsets.view(-1, 3) * identity.scale


def _turn_eyes(model: HeadModel, vertices: Tensor, gaze: tuple[float, float]) -> Tensor:
    """Rotate both eyeballs about their centres by the gaze (degrees)."""
    rotation = torch.from_numpy(euler_matrix(gaze[0], -gaze[1], 0))
    vertices = vertices.clone()
    for part in (Part.EYE_LEFT, Part.EYE_RIGHT):
        eye = model.part == part
        centre = vertices[eye].mean(0)
        vertices[eye] = (vertices[eye] - centre) @ rotation.T + centre
    return vertices


def _dress(model: HeadModel, identity: Identity, skin: Tensor) -> tuple[Tensor, Tensor]:
    """All vertices and their head weights: shells ride on the deformed skin."""
    normals = vertex_normals(skin, model.triangles)
    vertices, head_weights = [skin], [model.head_weight]
    for shell in identity.mesh.shells:
        first, second = shell.pairs[:, 0], shell.pairs[:, 1]
        normal = normals[first] + normals[second]
        normal = normal / normal.norm(dim=1, keepdim=True).clamp_min(1e-6)
        middle = 0.5 * (skin[first] + skin[second])
        vertices.append(middle + normal * shell.thickness[:, None])
        head_weights.append(0.5 * (model.head_weight[first] + model.head_weight[second]))
    vertices.append(identity.mesh.rigid_vertices)
    head_weights.append(identity.mesh.rigid_head_weight)
    return torch.cat(vertices), torch.cat(head_weights)


def eye_centers(part: Tensor, vertices: Tensor) -> Tensor:
    """Centres [2, 3] of the left and right eyeball; ``part`` [N] of the first N vertices."""
    base = vertices[: len(part)]
    eyes = (Part.EYE_LEFT, Part.EYE_RIGHT)
    return torch.stack([base[part == eye].mean(0) for eye in eyes])


def pose_mesh(model: HeadModel, identity: Identity, frame: Frame) -> PosedMesh:
    """Apply a frame to an identity. The head turns about the neck, the shoulders by body_yaw."""
    skin = identity.vertices + expression_offsets(model, identity, frame)
    skin = _turn_eyes(model, skin, frame.gaze)
    vertices, head_weights = _dress(model, identity, skin)
    yaw, pitch, roll = frame.pose
    on_body: Array = euler_matrix(yaw - frame.body_yaw, pitch, roll)
    body = euler_matrix(frame.body_yaw, 0, 0)
    pivot = identity.vertices[model.neck_ring].mean(0)
    vertices = rotate_weighted(vertices, head_weights, rotation_vector(on_body), pivot)
    vertices = (vertices - pivot) @ torch.from_numpy(body).T + pivot
    return PosedMesh(
        vertices=vertices,
        head_rotation=torch.from_numpy(body @ on_body),
        normals=vertex_normals(vertices, identity.mesh.triangles),
        eyes=eye_centers(model.part, vertices),
    )
