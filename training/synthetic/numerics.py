"""Small numeric helpers shared by the painters (numpy) and the renderer (torch)."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Array: TypeAlias = npt.NDArray[Any]


def smoothstep(start: float, end: float, x: Any) -> Any:
    """Hermite ramp 0 at ``start`` to 1 at ``end`` (``start`` > ``end`` gives a falling ramp)."""
    t = np.clip((x - start) / (end - start), 0, 1)
    return t * t * (3 - 2 * t)


def smoothstep_torch(start: float, end: float, x: Tensor) -> Tensor:
    """`smoothstep` for tensors."""
    t = ((x - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def srgb_to_linear(colour: Any) -> Array:
    """sRGB values 0..1 to linear light (IEC 61966-2-1), float32."""
    colour = np.asarray(colour, np.float32)
    curve = ((colour + 0.055) / 1.055) ** 2.4
    return np.where(colour <= 0.04045, colour / 12.92, curve).astype(np.float32)


def linear_to_srgb(light: Tensor) -> Tensor:
    """Linear light to sRGB values 0..1 (IEC 61966-2-1), clamped."""
    curve = 1.055 * light.clamp_min(1e-6) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curve).clamp(0, 1)


def unit_rows(vectors: Tensor) -> Tensor:
    """Rows [n, 3] scaled to length one (zero rows stay zero)."""
    return vectors / vectors.norm(dim=1, keepdim=True).clamp_min(1e-8)


def piecewise_linear(x: Tensor, knots: Tensor, values: Tensor) -> Tensor:
    """Linear interpolation through (knots, values), constant beyond both ends."""
    right = torch.searchsorted(knots, x.contiguous()).clamp(1, len(knots) - 1)
    low, high = knots[right - 1], knots[right]
    t = ((x - low) / (high - low).clamp_min(1e-6)).clamp(0, 1)
    return values[right - 1] + (values[right] - values[right - 1]) * t


def blend(under: Tensor, over: Tensor, opacity: Tensor) -> Tensor:
    """``over`` laid on ``under`` with opacity 0..1."""
    return under * (1 - opacity) + over * opacity


def vertex_normals(vertices: Tensor, triangles: Tensor) -> Tensor:
    """Area-weighted unit normals [n, 3] of a mesh with triangles [t, 3]."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    face_normals = torch.linalg.cross(b - a, c - a)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total.index_add_(0, triangles[:, corner], face_normals)
    return total / total.norm(dim=1, keepdim=True).clamp_min(1e-12)
