"""Random photographic looks: what cameras and files do to a picture, as one draw for many frames.

Rendered faces all look alike: one film curve, one sharpness, colours of one kind. A look changes
source and answer in the same way, so that an editor learns what follows from the picture it is
shown: teeth as white as that photograph's white, grey where it is grey.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

GREY_SHARE = 0.15
"""Chance of a look without colour."""
TINTED_SHARE = 0.3
"""Chance that a look without colour is toned, as old prints are."""
BLURRED_SHARE, NOISY_SHARE, COMPRESSED_SHARE = 0.5, 0.5, 0.5
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
MIDDLE_GREY = 0.5


@dataclass(frozen=True)
class Look:
    """Colours, light curve, sharpness, grain and compression of one camera and file."""

    gamma: float
    contrast: float
    brightness: float
    saturation: float
    white: np.ndarray
    """[3] gains of red, green and blue."""
    blur: float
    """Standard deviation in pixels; 0 is none."""
    grain: float
    """Standard deviation of the noise, picture range 0..1; 0 is none."""
    grain_seed: int
    quality: int
    """Of a JPEG file; 0 is none."""

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Look:
        """A random look."""
        grey, tinted = rng.random() < GREY_SHARE, rng.random() < TINTED_SHARE
        white = rng.uniform(0.85, 1.18, 3).astype(np.float32)
        plain = np.full(3, rng.uniform(0.85, 1.15), np.float32)
        return cls(
            gamma=float(np.exp(rng.uniform(-0.4, 0.4))),
            contrast=rng.uniform(0.75, 1.3),
            brightness=rng.uniform(-0.06, 0.08),
            saturation=0.0 if grey else rng.uniform(0.4, 1.3),
            white=plain if grey and not tinted else white,
            blur=rng.uniform(0.2, 1.1) if rng.random() < BLURRED_SHARE else 0.0,
            grain=rng.uniform(0.0, 0.03) if rng.random() < NOISY_SHARE else 0.0,
            grain_seed=int(rng.integers(1 << 31)),
            quality=int(rng.integers(45, 96)) if rng.random() < COMPRESSED_SHARE else 0,
        )

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """A picture [H,W,3] uint8 with this look; the same picture gives the same result."""
        seen = (picture.astype(np.float32) / 255).clip(1e-4, 1) ** self.gamma
        luma = (seen @ LUMA)[..., None]
        seen = (luma + (seen - luma) * self.saturation) * self.white
        seen = (seen - MIDDLE_GREY) * self.contrast + MIDDLE_GREY + self.brightness
        if self.blur:
            soft = Image.fromarray(_bytes(seen)).filter(ImageFilter.GaussianBlur(self.blur))
            seen = np.asarray(soft, np.float32) / 255
        if self.grain:
            grain = np.random.default_rng(self.grain_seed).normal(0, self.grain, seen.shape[:2])
            seen = seen + grain[..., None].astype(np.float32)
        return self._compressed(_bytes(seen))

    def _compressed(self, picture: np.ndarray) -> np.ndarray:
        if not self.quality:
            return picture
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=self.quality)
        return np.asarray(Image.open(file).convert("RGB"))


def _bytes(picture: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = (picture.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return rounded
