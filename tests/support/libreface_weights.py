"""Weights for LibreFace's network that no file is needed for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from magicface_core.conversion.layouts import COUNTER, Shapes


def ruled_weights(shapes: Shapes, order: Sequence[str]) -> dict[str, Tensor]:
    """Every tensor filled by its place in the file, as for the recorded values.

    Args:
        shapes: of all tensors.
        order: all their names, as the file has them.
    """
    return {name: _filled(name, shapes[name], place) for place, name in enumerate(order)}


def random_weights(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep features at the size of the pictures'."""
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=generator)
        if name.endswith(COUNTER):
            made[name] = torch.tensor(0)
        elif name.endswith("running_var"):
            made[name] = 1 + 0.1 * noise.abs()
        elif len(shape) == 1:
            made[name] = 0.1 * noise + (1 if name.endswith("weight") else 0)
        else:
            made[name] = noise / math.sqrt(math.prod(shape[1:]))
    return made


def _filled(name: str, shape: tuple[int, ...], place: int) -> Tensor:
    if name.endswith(COUNTER):
        return torch.tensor(0)
    angles = 12.9898 * np.arange(math.prod(shape), dtype=np.float64) + 78.233 * place
    x = np.sin(angles) * 43758.5453
    waves = (2 * (x - np.floor(x)) - 1).reshape(shape)
    if name.endswith("running_var"):
        waves = 1 + 0.3 * waves
    elif len(shape) == 4:
        waves = waves / math.sqrt(math.prod(shape[1:]))
    elif len(shape) == 2:
        waves = 0.01 * waves
    else:
        waves = 1 + 0.2 * waves if name.endswith("weight") else 0.1 * waves
    return torch.from_numpy(waves).float()
