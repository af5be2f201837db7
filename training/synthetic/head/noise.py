"""Procedural noise: fractal fields, a bank of them for skin, and hair strands."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..numerics import Array
from .canonical import CHART_SIZE

BANK_SEED = 77
STRAND_SEED = 5
FIELDS_PER_KIND = 6
FRACTAL_KINDS = {"low": (4, 4), "mid": (32, 4), "fine": (128, 2), "warp": (64, 2)}
"""Kind of noise -> (cells across at the coarsest octave, octaves)."""
OVERSCAN = 3
"""Cells repeated past the far edge; fields repeat but for half a cell at the seam."""


def _normal_grid(rng: np.random.Generator, height: int, width: int) -> Tensor:
    values = rng.standard_normal((1, 1, height, width)).astype(np.float32)
    return torch.from_numpy(values)


def _noise_octave(rng: np.random.Generator, height: int, width: int, cells: int) -> Array:
    grid = _normal_grid(rng, cells, cells)
    grid = torch.cat([grid, grid[..., :OVERSCAN]], -1)
    grid = torch.cat([grid, grid[:, :, :OVERSCAN]], -2)
    size = (height * (cells + OVERSCAN) // cells, width * (cells + OVERSCAN) // cells)
    enlarged = F.interpolate(grid, size=size, mode="bicubic", align_corners=False)
    return enlarged[0, 0, :height, :width].numpy()


def fractal_noise(
    rng: np.random.Generator, height: int, width: int, base: int, octaves: int
) -> Array:
    """Fractal noise [height, width], about -1..1, ``base`` cells across in the first octave."""
    field = np.zeros((height, width), np.float32)
    amplitude, power = 1.0, 0.0
    for octave in range(octaves):
        cells = min(base * 2**octave, min(height, width))
        field += amplitude * _noise_octave(rng, height, width, cells)
        power += amplitude * amplitude
        amplitude *= 0.5
    return field / math.sqrt(power) * 0.6


def _stroke_noise(rng: np.random.Generator, size: int) -> Array:
    """Noise stretched vertically: five texels tall, one wide."""
    grid = _normal_grid(rng, size // 5, size)
    enlarged = F.interpolate(grid, size=(size, size), mode="bilinear", align_corners=False)
    return enlarged[0, 0].numpy()


@dataclass(frozen=True)
class NoiseBank:
    """Fields of chart size; flipping and shifting one is far cheaper than drawing a new one."""

    fields: dict[str, list[Array]]

    @classmethod
    def build(cls) -> NoiseBank:
        """The same bank every time."""
        rng = np.random.default_rng(BANK_SEED)
        fields = {
            kind: [
                fractal_noise(rng, CHART_SIZE, CHART_SIZE, base, octaves)
                for _ in range(FIELDS_PER_KIND)
            ]
            for kind, (base, octaves) in FRACTAL_KINDS.items()
        }
        fields["stroke"] = [_stroke_noise(rng, CHART_SIZE) for _ in range(FIELDS_PER_KIND)]
        return cls(fields)

    def draw(self, rng: np.random.Generator, kind: str) -> Array:
        """A random field of ``kind`` (low, mid, fine, warp, stroke), [CHART_SIZE, CHART_SIZE]."""
        field = self.fields[kind][rng.integers(FIELDS_PER_KIND)]
        if rng.random() < 0.5:
            field = field[:, ::-1]
        shift = int(rng.integers(CHART_SIZE)), int(rng.integers(CHART_SIZE))
        return np.roll(field, shift, (0, 1))


@dataclass(frozen=True)
class SkinNoise:
    """The fields one face is painted with, [CHART_SIZE, CHART_SIZE] each, about -1..1."""

    low: Array
    mid: Array
    fine: Array


def hair_strands() -> Tensor:
    """Strand pattern [1, 1, 64, 1024] (height x angle around the head), mean 0."""
    rng = np.random.default_rng(STRAND_SEED)
    size = (64, 1024)
    tangle = fractal_noise(rng, *size, 16, 2)
    fine, locks = _normal_grid(rng, 8, 1024), _normal_grid(rng, 6, 256)
    fine = F.interpolate(fine, size=size, mode="bilinear", align_corners=True)
    locks = F.interpolate(locks, size=size, mode="bicubic", align_corners=True)
    strands: Tensor = 0.35 * torch.from_numpy(tangle) + 0.45 * fine + 0.5 * locks
    return strands
