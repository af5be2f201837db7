"""Face embedding for identity distances: dlib's ResNet-29 in plain torch.

The network is D. King's `dlib_face_recognition_resnet_model_v1` (CC0) in the 8-bit repack of
face-api.js (MIT); distances correlate 0.991 with dlib's own. dlib's rule of thumb: below 0.6 the
same person.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError
from ..pictures.affine import invert_affine, umeyama_similarity
from ..pictures.resampling import resample
from .faces import Face

CHIP_SIZE = 150
CHIP_PADDING = 0.25
MEAN_COLOR = (122.782, 117.001, 104.298)
# dlib's five-point template and the mesh vertices at its places: image-right eye outer and inner
# corner, image-left eye outer and inner corner, base of the nose.
TEMPLATE = np.array(
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
TEMPLATE_VERTICES: tuple[int, ...] = (263, 362, 33, 133, 2)
# One line per stage: residual blocks in order, True where the block halves the picture.
BLOCKS: tuple[tuple[str, bool], ...] = (
    *(("conv32_1", False), ("conv32_2", False), ("conv32_3", False)),
    *(("conv64_down", True), ("conv64_1", False), ("conv64_2", False), ("conv64_3", False)),
    *(("conv128_down", True), ("conv128_1", False), ("conv128_2", False)),
    *(("conv256_down", True), ("conv256_1", False), ("conv256_2", False)),
    ("conv256_down_out", True),
)


class IdentityNetwork:
    """128 numbers per face; the Euclidean distance between two says how alike they are."""

    def __init__(self, weights: Mapping[str, torch.Tensor]) -> None:
        self.weights = dict(weights)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> IdentityNetwork:
        """Reads the 8-bit file: value = 8-bit number * scale + minimum, both in the metadata."""
        weights = {}
        try:
            with safe_open(path, "pt") as file:
                ranges = json.loads((file.metadata() or {})["quantization"])
                for name in file.keys():  # noqa: SIM118 (not a mapping)
                    scale, minimum = ranges.get(name, (1.0, 0.0))
                    weights[name] = (file.get_tensor(name).float() * scale + minimum).to(device)
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"{path} is not an identity network ({error!r}). Reinstall the package."
            ) from error
        return cls(weights)

    def embed(self, image: torch.Tensor, face: Face) -> np.ndarray:
        """Picture [1,3,H,W] float 0..1 and a face in its pixels -> [128] float32."""
        return self(face_chip(image, face))[0].cpu().numpy()

    @torch.no_grad()
    def __call__(self, chips: torch.Tensor) -> torch.Tensor:
        """Aligned faces [B,3,150,150] float 0..1 -> [B,128]."""
        mean = torch.tensor(MEAN_COLOR, device=chips.device).view(1, 3, 1, 1)
        x = (255 * chips - mean) / 256
        x = F.relu(self._convolution(x, "conv32_down", stride=2, padding=0))
        x = F.max_pool2d(x, 3, 2)
        for name, halves in BLOCKS:
            x = self._block(x, name, halves)
        return x.mean((2, 3)) @ self.weights["fc"]

    def _convolution(
        self, x: torch.Tensor, name: str, stride: int = 1, padding: int = 1
    ) -> torch.Tensor:
        filters = self.weights[f"{name}/conv/filters"].permute(3, 2, 0, 1)
        x = F.conv2d(x, filters, self.weights[f"{name}/conv/bias"], stride, padding)
        scale = self.weights[f"{name}/scale/weights"].view(1, -1, 1, 1)
        return x * scale + self.weights[f"{name}/scale/biases"].view(1, -1, 1, 1)

    def _block(self, x: torch.Tensor, name: str, halves: bool) -> torch.Tensor:
        stride, padding = (2, 0) if halves else (1, 1)
        out = F.relu(self._convolution(x, f"{name}/conv1", stride, padding))
        out = self._convolution(out, f"{name}/conv2")
        if halves:
            # dlib adds pictures and channels of different size by filling the smaller with zeros.
            x = F.avg_pool2d(x, 2, 2)
            out = F.pad(out, _missing(x.shape, out.shape))
            x = F.pad(x, _missing(out.shape, x.shape))
        return F.relu(out + x)


def face_chip(image: torch.Tensor, face: Face) -> torch.Tensor:
    """dlib's aligned face: [1,3,H,W] -> [1,3,150,150]."""
    places = (CHIP_PADDING + TEMPLATE) / (1 + 2 * CHIP_PADDING) * CHIP_SIZE + 0.5
    to_chip = umeyama_similarity(face.mesh[list(TEMPLATE_VERTICES), :2], places)
    return resample(image, invert_affine(to_chip), (CHIP_SIZE, CHIP_SIZE)).clamp(0, 1)


def identity_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Euclidean distance of two embeddings [128]; above 0.6 usually two people."""
    return float(np.linalg.norm(np.asarray(first) - np.asarray(second)))


def _missing(wanted: torch.Size, given: torch.Size) -> tuple[int, ...]:
    """Padding that brings [B,C,H,W] `given` up to `wanted` in each axis where it is smaller."""
    rows, columns, channels = (max(wanted[a] - given[a], 0) for a in (2, 3, 1))
    return (0, columns, 0, rows, 0, channels)
