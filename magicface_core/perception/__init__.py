"""Faces, meshes, masks, action units, identity; nothing here reaches the network."""

from .faces import (
    AUEstimate,
    AUEstimator,
    Detection,
    Face,
    FaceDetector,
    FaceParser,
    JawEstimator,
    JawPoints,
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
    "JawEstimator",
    "JawPoints",
    "LandmarkEstimator",
    "Perception",
]
