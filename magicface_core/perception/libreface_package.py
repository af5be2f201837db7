"""AU intensities by the `libreface` package, for those who have it installed.

The package pins torch 2.0.0 and other versions that do not go with ComfyUI's; `libreface.py`
computes the same without it. This adapter is for comparisons, and for environments built around
LibreFace.
"""

from __future__ import annotations

import importlib
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..aus import AU_ORDER, AUVector
from ..errors import ModelError
from .faces import AUEstimate, Face
from .libreface import aligned_face, confidences

BACKEND = "libreface package"
PACKAGE_FOLDER = Path("weights_libreface")
PACKAGE_WEIGHTS = "AU_Recognition/weights/combined_resnet.pt"
# The package builds torchvision's ResNet-18 with these, then replaces them by its own.
BACKBONE_WEIGHTS = "resnet18-f37072fd.pth"
INSTALL = (
    "`pip install libreface==0.2.0` in an environment of its own (it pins torch==2.0.0, "
    "torchvision==0.15.1, mediapipe==0.10.5 and would replace ComfyUI's), or use the backend "
    '"libreface", which needs no package: `magicface models download libreface`'
)
# What a package built for other versions of its requirements fails with.
_FAILURES = (
    ImportError,
    AttributeError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class InstalledLibreFaceAUEstimator:
    """`AUEstimator` that hands the aligned face to the package's own network.

    Faces are found and aligned here: the package's way there stops at pictures of two faces and at
    current versions of MediaPipe and Pillow.
    """

    backend = BACKEND

    def __init__(self, package: Any, folder: Path, device: torch.device | str = "cpu") -> None:
        self.package, self.folder, self.device = package, folder, str(device)

    @classmethod
    def load(
        cls, folder: Path = PACKAGE_FOLDER, device: torch.device | str = "cpu"
    ) -> InstalledLibreFaceAUEstimator:
        """Import the package; nothing is downloaded.

        Args:
            folder: where the package keeps its weights, its `weights_download_dir`; by its own
                default beside where Python was started.

        Raises:
            ModelError: no such package, one that does not work here, or no weights yet.
        """
        package = _imported()
        backbone = Path(torch.hub.get_dir()) / "checkpoints" / BACKBONE_WEIGHTS
        missing = [path for path in (folder / PACKAGE_WEIGHTS, backbone) if not path.is_file()]
        if missing:
            raise ModelError(
                f'The libreface package would download "{missing[0]}" now. Let it do so once by '
                f'`libreface --input_path PHOTO`, which keeps its weights in "{PACKAGE_FOLDER}".'
            )
        return cls(package, folder, device)

    def estimate(self, face: Face, image: Tensor | None = None) -> AUEstimate:
        """AU intensities 0..5, in steps of 0.001, with a confidence 0..1 each.

        Args:
            face: in pixels of `image`.
            image: [1,3,H,W] float 0..1.

        Raises:
            ImageError: no picture, or one that does not show the face.
            ModelError: the package failed, or answered in another way than version 0.2.0.
        """
        aligned = aligned_face(face, image)
        with tempfile.TemporaryDirectory() as folder, _own_random_numbers():
            path = Path(folder) / "aligned.png"
            aligned.save(path)
            try:
                _, answer = self.package.get_au_intensities_and_detect_aus(
                    str(path), device=self.device, weights_download_dir=str(self.folder)
                )
            except _FAILURES as error:
                raise ModelError(
                    f"The libreface package failed: {_text(error)}. Reinstall it: {INSTALL}."
                ) from error
        return AUEstimate(_intensities(answer), confidences(face, image), BACKEND)


def _imported() -> Any:
    try:
        return importlib.import_module("libreface")
    except ModuleNotFoundError as error:
        if error.name != "libreface":
            raise ModelError(
                f"The libreface package lacks {error.name}. Reinstall it: {INSTALL}."
            ) from error
        raise ModelError(f"The libreface package is not installed: {INSTALL}.") from error
    except _FAILURES as error:
        raise ModelError(
            f"The libreface package does not work here: {_text(error)}. Install it by {INSTALL}."
        ) from error


def _intensities(answer: object) -> AUVector:
    """From the package's `{"au_1_intensity": 0.123, ...}`."""
    names = [f"au_{unit}_intensity" for unit in AU_ORDER]
    given = answer if isinstance(answer, Mapping) else {}
    values = [given[name] for name in names if isinstance(given.get(name), float | int)]
    if len(values) < len(names) or not all(0 <= value <= 5 for value in values):
        raise ModelError(
            f"The libreface package answered {_text(answer)}, not twelve intensities 0..5 such as "
            f'"{names[0]}". Version 0.2.0 is needed: {INSTALL}.'
        )
    return AUVector.from_values(values)


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """The package seeds every global generator; outside they go on as if it had not."""
    plain, array = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        try:
            yield
        finally:
            random.setstate(plain)
            np.random.set_state(array)


def _text(value: object) -> str:
    return " ".join(str(value).split())[:200] or type(value).__name__
