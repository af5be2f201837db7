"""Exact labels of a rendered frame, all from the geometry."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..head.head_model import HeadModel
from ..head.landmarks import CHIN
from ..head.regions import FACE_CLASSES
from ..numerics import Array
from .camera import Camera
from .pose import PosedMesh


def jaw_contour(model: HeadModel, posed: PosedMesh, screen: Tensor) -> Array:
    """Jaw points [17, 2] on the screen [n, 3], the far side slid forward to the silhouette."""
    right = posed.head_rotation[:, 0]
    sideways = screen[:, 0] * float(right[0]) - screen[:, 1] * float(right[2])
    vertices = []
    for number, candidates in enumerate(model.landmarks.jaw_candidates):
        outwards = 1 if number > CHIN else -1
        vertices.append(int(candidates[(sideways[candidates] * outwards).argmax()]))
    return screen[vertices][:, :2].numpy()


def five_points(model: HeadModel, posed: PosedMesh, camera: Camera, size: int) -> Array:
    """Eye centres, nose tip, mouth corners [5, 2] in pixels, image left before right."""
    landmarks = model.landmarks
    nose_and_mouth = torch.cat([torch.tensor([landmarks.nose_tip]), landmarks.mouth_corners])
    points = torch.cat([posed.eyes[[1, 0]], posed.vertices[nose_and_mouth]])
    return camera.project(points, size)[:, :2].numpy()


def face_mask(classes: Array) -> Array:
    """Bool mask of the face classes in a parse map."""
    return np.isin(classes, np.array(FACE_CLASSES))
