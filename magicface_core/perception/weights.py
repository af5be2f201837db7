"""Weights of backends: safetensors files whose names and shapes are compared before reading."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ..conversion.layouts import COUNTER
from ..errors import ModelError

Shapes = Mapping[str, tuple[int, ...]]


def read_weights(path: Path, shapes: Shapes, model: str) -> dict[str, Tensor]:
    """The tensors of a converted weight file, floating ones as float32, on the CPU.

    Args:
        path: as `magicface models` leaves it.
        shapes: names and shapes that must be there, and no others; counters may be absent.
        model: its name in the catalogue, for messages.

    Raises:
        ModelError: missing, damaged, or another network than expected.
    """
    mend = f"run: magicface models download {model}"
    if not path.is_file():
        raise ModelError(f'There is no file "{path}"; {mend}')
    try:
        with safe_open(path, framework="pt") as file:
            names = list(file.keys())
            found = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            wrong = _differences(shapes, found)
            if wrong:
                raise ModelError(f'"{path}" holds another network: {wrong}. Remove it, then {mend}')
            return {name: _float32(file.get_tensor(name)) for name in names}
    except (SafetensorError, OSError) as error:
        raise ModelError(f'"{path}" is damaged ({error}). Remove it, then {mend}') from error


def _differences(expected: Shapes, found: Shapes) -> str:
    """The first three differences in words; empty where there are none."""
    wrong = [f"{k} missing" for k in expected if k not in found and not k.endswith(COUNTER)]
    for name, shape in found.items():
        if name not in expected:
            wrong.append(f"{name[:100]} unexpected")
        elif shape != expected[name]:
            wrong.append(f"{name} has shape {list(shape)}, expected {list(expected[name])}")
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return "; ".join(wrong[:3]) + more


def _float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.float32) if tensor.is_floating_point() else tensor
