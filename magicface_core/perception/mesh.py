"""The 478-point face mesh.

Kartynnik et al., "Real-time facial surface geometry from monocular video on mobile GPUs", 2019;
weights converted from MediaPipe's face landmarker (Apache-2.0). As in MediaPipe's picture mode the
network looks once, at an upright square 1.5 times the detector's box; a second look from the first
mesh moved the points away from MediaPipe's own.
"""

from __future__ import annotations

import numpy as np
import torch

from ..pictures.crop import Crop
from ..pictures.resampling import resample
from .faces import EMBEDDED, Detection, Face, JawPoints
from .graph import Graph

INPUT_SIZE = 256
BOX_SCALE = 1.5
POINTS = 478


class FaceMesh:
    """`LandmarkEstimator` over the converted network `face_landmarks`."""

    def __init__(self, network: Graph) -> None:
        self.network = network

    def estimate(self, image: torch.Tensor, detection: Detection) -> tuple[np.ndarray, float]:
        """Picture [1,3,H,W] float 0..1 -> mesh [478,3] float64 in its pixels, and presence 0..1."""
        height, width = image.shape[-2:]
        center = (float(detection.center[0]), float(detection.center[1]))
        frame = Crop(center, BOX_SCALE * detection.side, (width, height), detection.tilt)
        matrix = frame.matrix_to_source(INPUT_SIZE)
        picture = resample(image, matrix, (INPUT_SIZE, INPUT_SIZE), padding="zeros")
        points, belief, _ = self.network(picture.permute(0, 2, 3, 1))
        mesh = points.reshape(POINTS, 3).cpu().double().numpy()
        depth = mesh[:, 2] * frame.side / INPUT_SIZE
        placed = np.column_stack([frame.to_source(mesh[:, :2], INPUT_SIZE), depth])
        return placed, float(torch.sigmoid(belief.flatten()[0]))


class MeshJaw:
    """`JawEstimator` that reads the mesh and needs no picture."""

    backend = EMBEDDED

    def estimate(self, image: torch.Tensor, face: Face) -> JawPoints:
        """The mesh's own points; `image` is not used."""
        return JawPoints(face.jaw, face.points5)
