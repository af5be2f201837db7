"""The head all portraits share: template mesh, expression basis, charts and masks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..numerics import Array, vertex_normals
from .ambient_occlusion import ambient_occlusion
from .au_basis import ExpressionBasis
from .canonical import Chart
from .head_pack import PACK_PATH, HeadPack
from .landmarks import Landmarks
from .lips import LipSeal
from .noise import NoiseBank, hair_strands
from .patches import Patch, garment_patch, scalp_patch
from .regions import Part
from .wrinkles import WrinkleMaps

NECK_RING_HEIGHT, NECK_RING_HALF_HEIGHT, NECK_RING_RADIUS = 0.615, 0.012, 0.075
"""Template heights and radius (m) of the ring of skin whose centre the head turns about."""
NECK_AXIS_Y = -0.02
UNDRAWN_PART = 7
"""Hair helper of the pack; lashes are drawn in a pass of their own."""


@dataclass(frozen=True, eq=False)
class HeadModel:
    """Everything that does not depend on the identity. N vertices; build it once with `load`."""

    pack: HeadPack
    template: Tensor
    """[N, 3] m."""
    part: Tensor
    """[N] `Part` of each vertex."""
    triangles: Tensor
    triangle_part: Tensor
    """[T, 3] and [T]: body, eyes, teeth, tongue."""
    lash_triangles: Tensor
    """[L, 3]."""
    lash_position: Tensor
    """[N] 0 at the root of a lash to 1 at its tip."""
    normals: Tensor
    """[N, 3] of the template."""
    occlusion: Tensor
    """[N] ambient occlusion, 1 = open."""
    head_weight: Tensor
    """[N] share of the head's rotation."""
    neck_ring: Tensor
    """Vertices around the pivot of the neck."""
    eye_centers: Tensor
    """[2, 3] m, subject's left first."""
    basis: ExpressionBasis
    lip_seal: LipSeal
    chart: Chart
    wrinkles: WrinkleMaps
    landmarks: Landmarks
    noise: NoiseBank
    strands: Tensor
    """[1, 1, 64, 1024] hair pattern."""
    scalp: Patch
    torso: Patch

    @classmethod
    def load(cls, path: Path = PACK_PATH) -> HeadModel:
        """Read the head pack and derive the rest: 5 to 10 s, the same every time."""
        pack = HeadPack.load(path)
        template, part = torch.from_numpy(pack.template), torch.from_numpy(pack.part)
        triangles, triangle_part = _triangulate(pack)
        drawn = (triangle_part != Part.LASHES) & (triangle_part != UNDRAWN_PART)
        base, base_part = triangles[drawn], triangle_part[drawn]
        base_tensor = torch.from_numpy(base)
        normals = vertex_normals(template, base_tensor)
        skin_triangles = base[base_part == Part.BODY]
        outside = (pack.part == Part.BODY) & ~pack.mouth_inside
        open_skin = outside & ~pack.eye_cavity
        inner = pack.mouth_inside | pack.eye_cavity
        chart = Chart.build(pack.template, skin_triangles[~inner[skin_triangles].any(1)])
        return cls(
            pack=pack,
            template=template,
            part=part,
            triangles=base_tensor,
            triangle_part=torch.from_numpy(base_part),
            lash_triangles=torch.from_numpy(triangles[triangle_part == Part.LASHES]),
            lash_position=torch.from_numpy(_lash_position(pack)),
            normals=normals,
            occlusion=ambient_occlusion(
                template, base_tensor, part, torch.from_numpy(pack.mouth_inside)
            ),
            head_weight=torch.from_numpy(pack.head_weight),
            neck_ring=torch.from_numpy(_neck_ring(pack)),
            eye_centers=torch.from_numpy(np.stack(eye_centers(pack, pack.template))),
            basis=ExpressionBasis.build(pack),
            lip_seal=LipSeal.build(pack),
            chart=chart,
            wrinkles=WrinkleMaps.build(chart),
            landmarks=Landmarks.build(pack.template, normals.numpy(), outside, pack.ear),
            noise=NoiseBank.build(),
            strands=hair_strands(),
            scalp=scalp_patch(pack, skin_triangles, open_skin),
            torso=garment_patch(pack, skin_triangles, open_skin),
        )


def eye_centers(pack: HeadPack, vertices: Array) -> tuple[Array, Array]:
    """Centres [3] of the left and right eyeball of a mesh [N, 3]."""
    left = vertices[pack.part == Part.EYE_LEFT].mean(0)
    right = vertices[pack.part == Part.EYE_RIGHT].mean(0)
    return left, right


def _triangulate(pack: HeadPack) -> tuple[Array, Array]:
    """Triangles [T, 3] and their parts [T]; the empty halves of stored triangles are dropped."""
    triangles = np.concatenate([pack.quads[:, [0, 1, 2]], pack.quads[:, [0, 2, 3]]])
    part = np.concatenate([pack.quad_part, pack.quad_part])
    a, b, c = triangles.T
    proper = (a != b) & (b != c) & (a != c)
    return triangles[proper], part[proper]


def _lash_position(pack: HeadPack) -> Array:
    """Distance from the eyeball, scaled to 0..1 between the 8th and 92nd percentile."""
    position = np.zeros(len(pack.template), np.float32)
    lashes = pack.part == Part.LASHES
    points = pack.template[lashes]
    left, right = (
        np.linalg.norm(points - center, axis=1) for center in eye_centers(pack, pack.template)
    )
    distance = np.minimum(left, right)
    root, tip = np.percentile(distance, [8, 92])
    position[lashes] = np.clip((distance - root) / (tip - root), 0, 1)
    return position


def _neck_ring(pack: HeadPack) -> Array:
    x, y, z = pack.template.T
    level = np.abs(z - NECK_RING_HEIGHT) < NECK_RING_HALF_HEIGHT
    near = np.hypot(x, y - NECK_AXIS_Y) < NECK_RING_RADIUS
    return np.where((pack.part == Part.BODY) & level & near)[0]
