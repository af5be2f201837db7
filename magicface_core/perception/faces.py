"""What perception returns, and what a backend must offer to take part in it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from ..aus import AUVector

if TYPE_CHECKING:
    from ..pictures.crop import Crop

EMBEDDED = "embedded"
"""Name of the backends that ship with the package."""

# Mesh vertices at the 17 jaw points of the iBUG scheme: image-left ear, chin, image-right ear.
JAW_VERTICES: tuple[int, ...] = (
    *(127, 234, 93, 132, 58, 136, 150, 176, 152),
    *(400, 379, 365, 288, 361, 323, 454, 356),
)
# Irises, nose tip, mouth corners, image-left first.
POINTS5_VERTICES: tuple[int, ...] = (468, 473, 4, 61, 291)
EYE_CORNERS: tuple[int, int] = (33, 263)
SKIN_VERTICES = 468  # the last ten of the 478 are the irises


@dataclass(frozen=True)
class Detection:
    """A face as the detector sees it, in source pixels.

    Attributes:
        score: 0..1.
        box: [4] x1, y1, x2, y2.
        keypoints: [6,2] image-left eye, image-right eye, nose, mouth, image-left and -right ear (of
            an upright face).
    """

    score: float
    box: np.ndarray
    keypoints: np.ndarray

    @property
    def center(self) -> np.ndarray:
        middle: np.ndarray = (self.box[:2] + self.box[2:]) / 2
        return middle

    @property
    def side(self) -> float:
        return float(max(self.box[2:] - self.box[:2]))

    @property
    def tilt(self) -> float:
        """In-plane tilt in radians, from eye to eye."""
        x, y = self.keypoints[1] - self.keypoints[0]
        return math.atan2(y, x)


@dataclass(frozen=True)
class Face:
    """A face with its mesh, in pixels of one picture.

    Attributes:
        score: the detector's, 0..1.
        box: [4] x1, y1, x2, y2, the detector's.
        keypoints: [6,2], the detector's.
        mesh: [478,3] float64; x, y in pixels, z in the same unit, growing away from the camera.
        presence: the mesh network's belief that there is a face, 0..1.
    """

    score: float
    box: np.ndarray
    keypoints: np.ndarray
    mesh: np.ndarray
    presence: float

    @property
    def jaw(self) -> np.ndarray:
        """[17,2] jaw points, image-left ear over the chin to the image-right ear."""
        points: np.ndarray = self.mesh[list(JAW_VERTICES), :2]
        return points

    @property
    def points5(self) -> np.ndarray:
        """[5,2] irises, nose tip, mouth corners, image-left first."""
        points: np.ndarray = self.mesh[list(POINTS5_VERTICES), :2]
        return points

    @property
    def width(self) -> float:
        """Width of the upright mesh in pixels."""
        across = self.mesh[:SKIN_VERTICES, :2] @ np.array(
            [math.cos(self.roll), math.sin(self.roll)]
        )
        return float(np.ptp(across))

    @property
    def roll(self) -> float:
        """In-plane tilt in radians, 0 for an upright face, growing clockwise on the screen."""
        x, y = self.mesh[EYE_CORNERS[1], :2] - self.mesh[EYE_CORNERS[0], :2]
        return math.atan2(y, x)

    def mapped(self, crop: Crop, size: int) -> Face:
        """The same face in the pixels of `crop` extracted at `size`."""
        mesh = np.column_stack(
            [crop.to_crop(self.mesh[:, :2], size), self.mesh[:, 2] * size / crop.side]
        )
        x1, y1, x2, y2 = self.box
        corners = crop.to_crop(np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]]), size)
        box = np.concatenate([corners.min(0), corners.max(0)])
        return replace(self, box=box, keypoints=crop.to_crop(self.keypoints, size), mesh=mesh)


@dataclass(frozen=True)
class JawPoints:
    """What the dots of the background + pose picture are drawn from, in pixels of one picture.

    Attributes:
        jaw: [17,2], image-left ear, chin, image-right ear.
        points5: [5,2], eyes, nose tip, mouth corners, image-left first.
    """

    jaw: np.ndarray
    points5: np.ndarray


@dataclass(frozen=True)
class AUEstimate:
    """Action units read from a face.

    Attributes:
        intensities: 0..5 each.
        confidence: 12 numbers 0..1 in `AU_ORDER`, how far each intensity can be trusted.
        backend: which estimator this comes from.
    """

    intensities: AUVector
    confidence: tuple[float, ...]
    backend: str


class FaceDetector(Protocol):
    """Finds faces in a picture [1,3,H,W] float 0..1, best first."""

    def detect(self, image: torch.Tensor, turn: float = 0.0) -> list[Detection]: ...


class LandmarkEstimator(Protocol):
    """Places the 478-point mesh on a detected face; returns mesh [478,3] and presence 0..1."""

    def estimate(self, image: torch.Tensor, detection: Detection) -> tuple[np.ndarray, float]: ...


class FaceParser(Protocol):
    """Masks [1,1,H,W] of the person (soft, 0..1) and of one face (0 or 1)."""

    @property
    def backend(self) -> str: ...

    def person_mask(self, image: torch.Tensor) -> torch.Tensor: ...

    def face_mask(self, image: torch.Tensor, face: Face) -> torch.Tensor: ...


class JawEstimator(Protocol):
    """Places the jaw points of a face on a picture [1,3,H,W] float 0..1.

    Landmarkers of the 68 points of iBUG take part by this protocol: their points 0 to 16 are the
    jaw. The mesh remains what finds, crops and masks a face.
    """

    @property
    def backend(self) -> str: ...

    def estimate(self, image: torch.Tensor, face: Face) -> JawPoints: ...


class AUEstimator(Protocol):
    """Reads action units; estimators that look at pixels need the picture."""

    def estimate(self, face: Face, image: torch.Tensor | None = None) -> AUEstimate: ...
