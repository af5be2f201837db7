"""Where points of the skin are seen: exact correspondences between expressions.

The same vertex in two frames of an identity is the same spot of skin, so the positions of vertices
tell how every edit moves the picture, without another model's noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..frame import Frame
from ..head.head_model import HeadModel
from ..head.regions import Part
from ..looks.identity import Identity
from ..numerics import Array
from .camera import Camera, aim_camera
from .pose import PosedMesh, pose_mesh

LEAST_MOVEMENT = 0.0005
"""Movement (m) by some action unit at intensity 5 that makes a vertex worth following."""
LEAST_FACING = 0.15
"""Cosine between a vertex's normal and the view from which it counts as seen."""
MOST_POINTS = 1024
AROUND_EYE = 0.025
"""Distance (m) from the eyeball's centre up to which skin tells where the eye is."""


@dataclass(frozen=True, eq=False)
class Tracks:
    """P points of skin in one frame, the same ones for every identity and frame."""

    points: Array
    """[P, 2] x, y float32 from -1 to 1 across the picture."""
    seen: Array
    """[P] bool: faces the camera."""


def tracked_vertices(model: HeadModel) -> Tensor:
    """Vertices [P] of outer skin that action units move, evenly thinned to `MOST_POINTS`."""
    pack = model.pack
    skin = (model.part == Part.BODY) & ~torch.from_numpy(pack.mouth_inside | pack.eye_cavity)
    moved = model.basis.action_units.unflatten(1, (-1, 3)).norm(dim=2).amax(0) > LEAST_MOVEMENT
    found = torch.nonzero(skin & moved).squeeze(1)
    step = -(-len(found) // MOST_POINTS)
    return found[::step]


def eye_weights(model: HeadModel) -> Tensor:
    """Weights [2,P] float32 of the tracked points whose sums are the eyes' centres.

    Image-left eye (the subject's right) first. The smallest weights of the points around an eye
    that give its centre on the template, and so nearly on every head from every side.
    """
    points = model.template[tracked_vertices(model)].double()
    weights = points.new_zeros(2, len(points))
    for row, center in zip(weights, model.eye_centers.flip(0).double(), strict=True):
        near = torch.nonzero((points - center).norm(dim=1) < AROUND_EYE).squeeze(1)
        moments = torch.cat([points[near].T, points.new_ones(1, len(near))])
        asked = torch.cat([center, center.new_ones(1)])
        row[near] = moments.T @ torch.linalg.solve(moments @ moments.T, asked)
    return weights.float()


def track(model: HeadModel, identity: Identity, frame: Frame, vertices: Tensor) -> Tracks:
    """Where ``vertices`` [P] are in a frame."""
    posed = pose_mesh(model, identity, frame)
    return track_posed(posed, aim_camera(model, identity, frame, posed), vertices)


def track_posed(posed: PosedMesh, camera: Camera, vertices: Tensor) -> Tracks:
    """Where ``vertices`` [P] of a posed mesh are seen."""
    places, normals = posed.vertices[vertices], posed.normals[vertices]
    view = camera.view_vectors(places)
    facing = (normals * view).sum(1) / (normals.norm(dim=1) * view.norm(dim=1)).clamp_min(1e-9)
    points = 2 * camera.project(places, 1)[:, :2] - 1
    return Tracks(points.float().numpy(), (facing > LEAST_FACING).numpy())
