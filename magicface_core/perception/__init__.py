"""Perception without downloads: faces, meshes, masks, action units, identity."""

from .faces import (
    AUEstimate,
    AUEstimator,
    Detection,
    Face,
    FaceDetector,
    FaceParser,
    LandmarkEstimator,
)
from .stack import Perception

__all__ = [
    "AUEstimate",
    "AUEstimator",
    "Detection",
    "Face",
    "FaceDetector",
    "FaceParser",
    "LandmarkEstimator",
    "Perception",
]
