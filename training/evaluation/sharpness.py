"""Whether an edit is as sharp as its exact answer: energies of the brightness gradient.

Where edges are averaged over places the gradient is spread out and its square falls, so a blurred
edit has less energy than the answer, whatever its colours. Sharp edges in wrong places count as
sharp: the number is to be read beside the changed-pixel error, which they raise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

from .metrics import CHANGE_THRESHOLD, changed_pixels


@dataclass(frozen=True)
class GradientEnergy:
    """Sums over the truly changed pixels of one edit, or of many: these pool by addition."""

    edit: float = 0.0
    answer: float = 0.0

    def __add__(self, other: GradientEnergy) -> GradientEnergy:
        return GradientEnergy(self.edit + other.edit, self.answer + other.answer)

    @property
    def ratio(self) -> float:
        """1 is as sharp as the answer, less is blurred, more has noise or edges of its own."""
        return self.edit / self.answer if self.answer > 0 else math.nan


def gradient_energy(
    edit: torch.Tensor,
    answer: torch.Tensor,
    source: torch.Tensor,
    threshold: float = CHANGE_THRESHOLD,
) -> GradientEnergy:
    """Energies of edit and answer ``[1,3,H,W]`` 0..1 where source and answer truly differ.

    Pixels count as in `metrics.changed_error`; a pixel's energy is the squared length of its
    brightness gradient by central differences, with the border repeated.
    """
    changed = changed_pixels(source, answer, threshold)
    return GradientEnergy(*(float(_energy(part)[changed].sum()) for part in (edit, answer)))


def _energy(picture: torch.Tensor) -> torch.Tensor:
    """[1,3,H,W] -> [1,H,W] float64."""
    grey = picture.double().mean(-3, keepdim=True)
    wide = functional.pad(grey, (1, 1, 1, 1), mode="replicate")[:, 0]
    across = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2
    down = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
    return across.square() + down.square()
