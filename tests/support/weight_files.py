"""Stand-ins for weight files: the published layouts, values by a formula."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

Shapes = Mapping[str, tuple[int, ...]]


def formula_weights(shapes: Shapes) -> dict[str, Tensor]:
    """Values that every version of every library computes alike; activations stay about 1."""
    return {name: _values(name, shape, place) for place, (name, shape) in enumerate(shapes.items())}


def write_formula_weights(path: Path, shapes: Shapes) -> Path:
    """A converted weight file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(formula_weights(shapes), path)
    return path


def _values(name: str, shape: tuple[int, ...], place: int) -> Tensor:
    if not shape:
        return torch.tensor(1)
    count = math.prod(shape)
    angles = torch.arange(count, dtype=torch.float64) * 12.9898 + place
    noise = (2 * (torch.sin(angles) * 43758.5453).frac().abs() - 1).float().reshape(shape)
    if len(shape) > 1:
        return noise * math.sqrt(6 * shape[0] / count)
    return 1 + 0.3 * noise if name.endswith(("weight", "running_var")) else 0.3 * noise
