"""Z-buffer rasterizer: numba kernels where numba is installed, plain torch elsewhere."""

from __future__ import annotations

import importlib
import logging
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

Backend = Literal["auto", "numba", "torch"]

FAR = 1e30
"""Depth where nothing is drawn."""
NOTHING = -1
"""Triangle id where nothing is drawn."""

_EMPTY_KEY = torch.iinfo(torch.int64).max
_ID_BITS = 20
_BUCKETS = (2, 4, 8, 16, 32, 64, 128, 256, 1024)
_CELLS_PER_CHUNK = 1 << 22

_logger = logging.getLogger(__name__)


def _kernels(backend: Backend) -> ModuleType | None:
    """The compiled kernels, or None for torch. Kernels without a cache folder count as missing."""
    if backend == "torch":
        return None
    try:
        return importlib.import_module(".raster_numba", __package__)
    except (ImportError, RuntimeError) as error:
        if backend == "numba":
            raise
        _logger.debug("numba rasterizer not used: %s", error)
        return None


def rasterize(
    points: Tensor,
    triangles: Tensor,
    size: int,
    two_sided: Tensor | None = None,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Nearest triangle at every pixel centre of a size x size picture.

    points [n, 3]: x and y in pixels (x right, y down), positive depth. triangles [t, 3], at most
    2**20. two_sided [t] bool: drawn from behind too (default: all). Returns [size, size] triangle
    id int32 (`NOTHING` where empty) and depth float32 (`FAR` where empty).
    """
    if two_sided is None:
        two_sided = torch.ones(len(triangles), dtype=torch.bool)
    kernels = _kernels(backend)
    if kernels is None:
        return _rasterize_torch(points, triangles, two_sided, size)
    nearest = np.full((size, size), NOTHING, np.int32)
    depth = np.full((size, size), FAR, np.float32)
    kernels.fill_triangles(
        points.numpy(), triangles.numpy(), two_sided.numpy(), size, nearest, depth
    )
    return torch.from_numpy(nearest), torch.from_numpy(depth)


def interpolate(
    points: Tensor,
    triangles: Tensor,
    triangle_of_pixel: Tensor,
    pixels: Tensor,
    size: int,
    attributes: Tensor,
    backend: Backend = "auto",
) -> Tensor:
    """Perspective-correct attributes [p, c] at flat pixel indices [p] of a size x size picture."""
    kernels = _kernels(backend)
    if kernels is not None:
        out = np.empty((len(pixels), attributes.shape[1]), np.float32)
        kernels.interpolate_pixels(
            points.numpy(),
            triangles.numpy(),
            triangle_of_pixel.numpy(),
            pixels.numpy(),
            size,
            attributes.numpy(),
            out,
        )
        return torch.from_numpy(out)
    corners = triangles[triangle_of_pixel]
    weights = barycentric_at_pixels(points, corners, pixels, size)
    weights = weights / points[:, 2][corners]
    weights = weights / weights.sum(1, keepdim=True)
    return (attributes[corners] * weights[..., None]).sum(1)


def barycentric(points: Tensor, corners: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Screen-space barycentric weights [p, 3] of positions in triangles with corners [p, 3]."""
    a, b, c = points[corners[:, 0]], points[corners[:, 1]], points[corners[:, 2]]
    edge1, edge2 = b - a, c - a
    dx, dy = x - a[:, 0], y - a[:, 1]
    inverse = 1 / (edge1[:, 0] * edge2[:, 1] - edge2[:, 0] * edge1[:, 1])
    w1 = (dx * edge2[:, 1] - edge2[:, 0] * dy) * inverse
    w2 = (edge1[:, 0] * dy - dx * edge1[:, 1]) * inverse
    return torch.stack([1 - w1 - w2, w1, w2], 1)


def barycentric_at_pixels(points: Tensor, corners: Tensor, pixels: Tensor, size: int) -> Tensor:
    """Weights [p, 3] at the centres of flat pixel indices, each clamped to 0..1."""
    x = (pixels % size).float() + 0.5
    y = torch.div(pixels, size, rounding_mode="floor").float() + 0.5
    return barycentric(points, corners, x, y).clamp(0, 1)


@dataclass(frozen=True)
class _Boxes:
    """Corners, pixel bounds and doubled signed areas of all triangles."""

    x: Tensor
    y: Tensor
    z: Tensor
    left: Tensor
    top: Tensor
    extent: Tensor
    area: Tensor
    visible: Tensor


def _bounding_boxes(points: Tensor, triangles: Tensor, two_sided: Tensor, size: int) -> _Boxes:
    x, y, z = points[triangles].unbind(-1)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    left = torch.ceil(x.amin(1) - 0.5).clamp(0, size - 1)
    right = torch.floor(x.amax(1) - 0.5).clamp(-1, size - 1)
    top = torch.ceil(y.amin(1) - 0.5).clamp(0, size - 1)
    bottom = torch.floor(y.amax(1) - 0.5).clamp(-1, size - 1)
    facing = (area < 0) | ((area > 0) & two_sided)
    visible = facing & (right >= left) & (bottom >= top)
    extent = torch.maximum(right - left, bottom - top) + 1
    return _Boxes(x, y, z, left, top, extent, area, visible)


def _rasterize_torch(
    points: Tensor, triangles: Tensor, two_sided: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Triangles bucketed by extent; the minimum of packed (depth, id) keys wins each pixel."""
    boxes = _bounding_boxes(points, triangles, two_sided, size)
    keys = torch.full((size * size,), _EMPTY_KEY, dtype=torch.int64)
    smaller = 0
    for cells in _BUCKETS:
        fits = boxes.visible & (boxes.extent > smaller) & (boxes.extent <= cells)
        chosen = torch.nonzero(fits).squeeze(1)
        for chunk in chosen.split(max(1, _CELLS_PER_CHUNK // (cells * cells))):
            _scatter_nearest(keys, boxes, chunk, cells, size)
        smaller = cells
    hit = keys != _EMPTY_KEY
    ids = torch.where(hit, keys & ((1 << _ID_BITS) - 1), torch.full_like(keys, NOTHING)).int()
    depth_bits = (keys >> _ID_BITS).int().view(torch.float32)
    depth = torch.where(hit, depth_bits, torch.full_like(depth_bits, FAR))
    return ids.view(size, size), depth.view(size, size)


def _scatter_nearest(keys: Tensor, boxes: _Boxes, chunk: Tensor, cells: int, size: int) -> None:
    """Offer a chunk of triangles, each tested on a cells x cells block of pixels, to ``keys``."""
    if len(chunk) == 0:
        return
    x, y, z = (v[chunk, :, None, None] for v in (boxes.x, boxes.y, boxes.z))
    step = torch.arange(cells)
    columns = (boxes.left[chunk, None] + step)[:, None, :]
    rows = (boxes.top[chunk, None] + step)[:, :, None]
    dx, dy = columns + 0.5 - x[:, 0], rows + 0.5 - y[:, 0]
    inverse = (1 / boxes.area[chunk])[:, None, None]
    w1 = (dx * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * dy) * inverse
    w2 = ((x[:, 1] - x[:, 0]) * dy - dx * (y[:, 1] - y[:, 0])) * inverse
    depth = z[:, 0] + w1 * (z[:, 1] - z[:, 0]) + w2 * (z[:, 2] - z[:, 0])
    inside = (w1 >= 0) & (w2 >= 0) & (w1 + w2 <= 1) & (columns < size) & (rows < size)
    pixels = (rows.long() * size + columns.long()).expand_as(inside)[inside]
    ids = chunk[:, None, None].expand_as(inside)[inside]
    # positive floats sort like their bit patterns, so the smallest key is the nearest triangle
    packed = (depth[inside].contiguous().view(torch.int32).long() << _ID_BITS) | ids
    keys.scatter_reduce_(0, pixels, packed, "amin")
