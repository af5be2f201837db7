"""Jaw points from the 68 landmarks of 2D-FAN, through the package `face-alignment` (BSD).

Bulat and Tzimiropoulos, "How far are we from solving the 2D & 3D face alignment problem?", 2017.
Package and weights are installed by the user. The weights are read from the converted file, never
fetched: the package's own loaders are not called, nor its detectors, since the box comes from the
mesh. Its `torch.compile`, which would need a compiler, stays off.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..conversion.layouts import fan as layout
from ..downloads.catalogue import INSTALL_FACE_ALIGNMENT as INSTALL
from ..errors import ModelError
from .faces import SKIN_VERTICES, Face, JawPoints
from .placing import BOX_RISE_PER_MESH_HEIGHT, BOX_WIDTH_PER_MESH_WIDTH
from .weights import read_weights

BACKEND = "face-alignment"
LANDMARKS = 68
HOURGLASSES = 4
JAW = slice(0, 17)
EYES, NOSE_TIP, MOUTH_CORNERS = (slice(36, 42), slice(42, 48)), 30, (48, 54)
_PIXEL_CENTER = 0.5  # the package's pixel centres are whole numbers


class FaceAlignmentJaw:
    """`JawEstimator` over an aligner of the package `face-alignment`."""

    backend = BACKEND

    def __init__(self, aligner: Any) -> None:
        self.aligner = aligner

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> FaceAlignmentJaw:
        """The package's aligner with converted weights; raises ModelError."""
        tensors = read_weights(path, layout(), BACKEND)
        return cls(_aligner(tensors, torch.device(device)))

    def landmarks(self, image: Tensor, face: Face) -> np.ndarray:
        """Picture [1,3,H,W] float 0..1 and a face in it -> iBUG's points [68,2] in its pixels.

        Raises ModelError where the package gives none.
        """
        pixels = (image[0].permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8)
        found = self.aligner.get_landmarks_from_image(
            pixels.cpu().numpy(), detected_faces=[[*face_box(face), 1.0]]
        )
        if not found or np.shape(found[0]) != (LANDMARKS, 2):
            raise ModelError(f"face-alignment placed no landmarks; update it: {INSTALL}")
        return np.asarray(found[0], np.float64) + _PIXEL_CENTER

    def estimate(self, image: Tensor, face: Face) -> JawPoints:
        """Jaw and alignment points of a face on a picture [1,3,H,W] float 0..1."""
        return jaw_points(self.landmarks(image, face))


def jaw_points(landmarks: np.ndarray) -> JawPoints:
    """What the dots are drawn from, out of iBUG's 68 points [68,2]."""
    eyes = [landmarks[eye].mean(0) for eye in EYES]
    corners = landmarks[list(MOUTH_CORNERS)]
    return JawPoints(landmarks[JAW], np.stack([*eyes, landmarks[NOSE_TIP], *corners]))


def face_box(face: Face) -> tuple[float, float, float, float]:
    """The box x1, y1, x2, y2 that a detector trained on WIDER FACE would draw: chin to hairline.

    The package places its square by such a box; the proportions are those of the published crop.
    """
    points = face.mesh[:SKIN_VERTICES, :2]
    low, high = points.min(0), points.max(0)
    middle, reach = (low[0] + high[0]) / 2, BOX_WIDTH_PER_MESH_WIDTH * (high[0] - low[0]) / 2
    top = low[1] - 2 * BOX_RISE_PER_MESH_HEIGHT * (high[1] - low[1])
    return float(middle - reach), float(top), float(middle + reach), float(high[1])


def _aligner(tensors: dict[str, Tensor], device: torch.device) -> Any:
    """The package's aligner, given its network instead of loading one."""
    package, models = _package()

    class LocalFaceAlignment(package.FaceAlignment):  # type: ignore[name-defined]
        def _load_native(self, *_: Any) -> torch.nn.Module:
            network: torch.nn.Module = models.FAN(HOURGLASSES)
            network.load_state_dict(tensors)
            return network.to(device).eval()

    with _unchanged_cudnn():
        return LocalFaceAlignment(
            package.LandmarksType.TWO_D,
            device=str(device),
            face_detector="folder",  # the one without weights
            compile=False,
        )


def _package() -> tuple[Any, Any]:
    """`face_alignment` and `face_alignment.models`; raises ModelError for none or another API."""
    try:
        package, models = import_module("face_alignment"), import_module("face_alignment.models")
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(f"face-alignment cannot be imported ({error}); {INSTALL}") from error
    # Without this method the package would load, and perhaps fetch, its network by other ways.
    if not hasattr(package.FaceAlignment, "_load_native") or not hasattr(models, "FAN"):
        raise ModelError(f"This version of face-alignment is not supported; {INSTALL}")
    return package, models


@contextmanager
def _unchanged_cudnn() -> Iterator[None]:
    """The package switches cuDNN's benchmark mode on for the whole process."""
    before = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
