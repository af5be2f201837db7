"""The square that a face is cut out in, and its transforms to and from the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from ..errors import ImageError
from .affine import apply_affine, invert_affine
from .resampling import resample


@dataclass(frozen=True)
class Crop:
    """A square cut from a picture.

    Attributes:
        center: (x, y) in source pixels.
        side: side of the square in source pixels.
        source_size: (width, height) of the source picture.
        angle: in-plane rotation in radians; the crop's x axis points along (cos, sin) of it.
    """

    center: tuple[float, float]
    side: float
    source_size: tuple[int, int]
    angle: float = 0.0

    def __post_init__(self) -> None:
        values = (*self.center, self.side, self.angle)
        if not all(math.isfinite(value) for value in values) or self.side <= 0:
            raise ImageError(f"A crop needs a finite place and a side above 0, not {values}.")

    @property
    def rotation(self) -> np.ndarray:
        """[2,2] float64, turns crop axes into source axes."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        return np.array([[cosine, -sine], [sine, cosine]])

    def matrix_to_source(self, size: int) -> np.ndarray:
        """[2,3] float64: positions in the crop of `size` pixels to source positions."""
        linear = self.rotation * (self.side / size)
        shift = np.asarray(self.center) - linear @ np.full(2, size / 2)
        return np.column_stack([linear, shift])

    def matrix_to_crop(self, size: int) -> np.ndarray:
        """[2,3] float64: source positions to positions in the crop of `size` pixels."""
        return invert_affine(self.matrix_to_source(size))

    def to_source(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points [N,2] in the crop of `size` pixels -> source pixels [N,2]."""
        return apply_affine(self.matrix_to_source(size), points)

    def to_crop(self, points: np.ndarray, size: int) -> np.ndarray:
        """Points [N,2] in source pixels -> pixels of the crop of `size` pixels [N,2]."""
        return apply_affine(self.matrix_to_crop(size), points)

    def extract(self, image: torch.Tensor, size: int) -> torch.Tensor:
        """[1,3,H,W] -> [1,3,size,size], anti-aliased; beyond the picture's edge it is mirrored."""
        height, width = image.shape[-2:]
        if (width, height) != self.source_size:
            wanted = "{}x{}".format(*self.source_size)
            raise ImageError(f"This crop belongs to a picture of {wanted}, not {width}x{height}.")
        matrix = self.matrix_to_source(size)
        pixels = resample(image, matrix, (size, size), interpolation="bicubic")
        return pixels.clamp(0, 1)
