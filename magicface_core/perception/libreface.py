"""AU intensities by LibreFace's network, the estimator the paper was trained and measured with.

Alignment, preprocessing and network follow LibreFace 0.2.0 to the pixel and to 1e-4 in intensity;
only the mesh comes from MediaPipe's newer model. Nothing of LibreFace is installed or shipped: its
weights (for research and other non-commercial use) come by `magicface models download libreface`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..aus import AU_ORDER, AUVector
from ..errors import ImageError, ModelError
from .action_units import visibility
from .faces import SKIN_VERTICES, AUEstimate, Face
from .libreface_alignment import align_face, alignment_points
from .libreface_network import LibreFaceNetwork, load_network

BACKEND = "libreface"
RESIZED, INPUT_SIZE = 256, 224
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's colours
# The authors report how all units together agree with human coders on DISFA (a correlation of
# 0.63), so no unit is trusted more than another.
TRUST = 0.85


class LibreFaceAUEstimator:
    """`AUEstimator` that looks at the picture."""

    backend = BACKEND

    def __init__(
        self,
        network: LibreFaceNetwork,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.device, self.dtype = torch.device(device), dtype
        self.network = network.to(self.device, dtype).eval().requires_grad_(False)

    @classmethod
    def load(
        cls, path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
    ) -> LibreFaceAUEstimator:
        """From the converted weights; names and shapes are checked. Raises ModelError."""
        return cls(load_network(path), device, dtype)

    def estimate(self, face: Face, image: Tensor | None = None) -> AUEstimate:
        """AU intensities 0..5 with a confidence 0..1 each.

        Args:
            face: in pixels of `image`.
            image: [1,3,H,W] float 0..1.

        Raises:
            ImageError: no picture, or one that does not show the face.
            ModelError: weights that compute no numbers.
        """
        aligned = aligned_face(face, image)
        (values,) = self.intensities(network_input(aligned)).tolist()
        if not np.isfinite(values).all():
            raise ModelError(
                "LibreFace's weights are damaged: intensities are not finite. "
                "Remove them by `magicface models remove libreface`, then download them again."
            )
        intensities = AUVector.from_values([round(value, 4) for value in values])
        return AUEstimate(intensities, confidences(face, image), BACKEND)

    @torch.inference_mode()
    def intensities(self, faces: Tensor) -> Tensor:
        """Normalised faces [B,3,224,224] -> [B,12] float32 0..5 on the CPU."""
        return self.network(faces.to(self.device, self.dtype)).float().cpu()


def aligned_face(face: Face, image: Tensor | None) -> Image.Image:
    """LibreFace's 512 picture of a face; raises ImageError without a picture."""
    if image is None:
        raise ImageError("LibreFace reads pixels: give the picture together with the face.")
    if image.dim() != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
        raise ImageError(f"LibreFace looks at one picture [1,3,H,W], not {list(image.shape)}.")
    return align_face(image, alignment_points(face.mesh))


def network_input(aligned: Image.Image) -> Tensor:
    """A square aligned face -> its middle, normalised: [1,3,224,224] float32."""
    resized = aligned.resize((RESIZED, RESIZED), Image.Resampling.BILINEAR)
    edge = (RESIZED - INPUT_SIZE) // 2
    middle = resized.crop((edge, edge, edge + INPUT_SIZE, edge + INPUT_SIZE))
    pixels = torch.from_numpy(np.array(middle)).permute(2, 0, 1)[None].float() / 255
    mean, deviation = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, DEVIATION))
    return (pixels - mean) / deviation


def confidences(face: Face, image: Tensor | None) -> tuple[float, ...]:
    """How far intensities read from this face can be trusted, 12 numbers 0..1, all equal."""
    seen = 1.0 if image is None else _share_inside(face, image.shape[-1], image.shape[-2])
    return (round(TRUST * visibility(face) * seen, 2),) * len(AU_ORDER)


def _share_inside(face: Face, width: int, height: int) -> float:
    """Share of the mesh that the picture shows."""
    points = face.mesh[:SKIN_VERTICES, :2]
    return float(((points >= 0) & (points < (width, height))).all(1).mean())
