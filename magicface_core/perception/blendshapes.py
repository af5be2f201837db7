"""The 52 blendshape coefficients of a mesh.

Grishchenko et al., "Blendshapes GHUM: real-time monocular facial blendshape prediction", 2023;
weights converted from MediaPipe's face landmarker (Apache-2.0).

Deviation from MediaPipe: the mesh is turned upright first, so that a tilted picture reads the same.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from .faces import Face
from .graph import Graph

# The 146 mesh vertices the network reads.
VERTICES: tuple[int, ...] = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37),
    *(39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70),
    *(78, 80, 81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109),
    *(127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153, 154, 155),
    *(157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185),
    *(191, 195, 197, 234, 246, 249, 251, 263, 267, 269, 270, 276, 282, 283),
    *(284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373),
    *(374, 375, 377, 378, 379, 380, 381, 382, 384, 385, 386, 387, 388, 389),
    *(390, 397, 398, 400, 402, 405, 409, 415, 454, 466, 468, 469, 470, 471),
    *(472, 473, 474, 475, 476, 477),
)

NAMES: tuple[str, ...] = (
    "_neutral",
    "browDownLeft",
    "browDownRight",
    "browInnerUp",
    "browOuterUpLeft",
    "browOuterUpRight",
    "cheekPuff",
    "cheekSquintLeft",
    "cheekSquintRight",
    "eyeBlinkLeft",
    "eyeBlinkRight",
    "eyeLookDownLeft",
    "eyeLookDownRight",
    "eyeLookInLeft",
    "eyeLookInRight",
    "eyeLookOutLeft",
    "eyeLookOutRight",
    "eyeLookUpLeft",
    "eyeLookUpRight",
    "eyeSquintLeft",
    "eyeSquintRight",
    "eyeWideLeft",
    "eyeWideRight",
    "jawForward",
    "jawLeft",
    "jawOpen",
    "jawRight",
    "mouthClose",
    "mouthDimpleLeft",
    "mouthDimpleRight",
    "mouthFrownLeft",
    "mouthFrownRight",
    "mouthFunnel",
    "mouthLeft",
    "mouthLowerDownLeft",
    "mouthLowerDownRight",
    "mouthPressLeft",
    "mouthPressRight",
    "mouthPucker",
    "mouthRight",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthSmileLeft",
    "mouthSmileRight",
    "mouthStretchLeft",
    "mouthStretchRight",
    "mouthUpperUpLeft",
    "mouthUpperUpRight",
    "noseSneerLeft",
    "noseSneerRight",
)


class BlendshapeNetwork:
    """The converted network `face_blendshapes`."""

    def __init__(self, network: Graph, device: torch.device | str = "cpu") -> None:
        self.network = network
        self.device = device

    def estimate(self, face: Face) -> dict[str, float]:
        """52 coefficients 0..1 by their ARKit names; `_neutral` comes first."""
        cosine, sine = math.cos(face.roll), math.sin(face.roll)
        upright = face.mesh[list(VERTICES), :2] @ np.array([[cosine, -sine], [sine, cosine]])
        points = torch.from_numpy(upright.astype(np.float32))[None].to(self.device)
        (coefficients,) = self.network(points)
        return dict(zip(NAMES, coefficients.flatten().tolist(), strict=True))
