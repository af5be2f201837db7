"""Resampling of pictures: anti-aliased affine sampling, the reference's fixed-point warp,
smoothing.

Two conventions for pixel positions meet here. `resample` is continuous: the centre of the first
pixel is at 0.5. `warp_affine_fixed_point` follows OpenCV, on which the published preparation rests:
the centre of the first pixel is at 0, positions are rounded to 1/32 pixel, results to whole grey
levels.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ImageError

Padding = Literal["reflect", "zeros"]
Interpolation = Literal["bilinear", "bicubic"]
Window = tuple[int, int, int, int]  # x0, y0, x1, y1


def resample(
    image: torch.Tensor,
    matrix: np.ndarray,
    size: tuple[int, int],
    *,
    padding: Padding = "reflect",
    interpolation: Interpolation = "bilinear",
) -> torch.Tensor:
    """Samples `image` on an affine grid, without aliasing, reading only the pixels it needs.

    Args:
        image: [B,C,H,W] float.
        matrix: [2,3] float64, takes an output position (x, y, 1) to an input position; continuous
            pixel positions on both sides.
        size: height and width of the output.
        padding: what lies outside the picture: its mirror image, or zeros.
        interpolation: used where the picture is enlarged; reductions average.

    Returns:
        [B,C,height,width] float, on the device of `image`. Bicubic results may overshoot 0..1.
    """
    height, width = size
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    shrink = max(1, math.floor(scale / 2))
    samples = max(1, math.ceil(scale / shrink - 1e-6))
    x0, y0, x1, y1 = _needed_window(matrix, size, shrink)
    window = cut_window(image, (x0, y0, x1, y1), padding)
    if shrink > 1:
        window = F.avg_pool2d(window, shrink)
    columns = (np.arange(width * samples)[None] + 0.5) / samples
    rows = (np.arange(height * samples)[:, None] + 0.5) / samples
    grid = np.empty((height * samples, width * samples, 2), np.float32)
    source_x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2] - x0
    grid[..., 0] = source_x / (x1 - x0) * 2 - 1
    source_y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2] - y0
    grid[..., 1] = source_y / (y1 - y0) * 2 - 1
    points = torch.from_numpy(grid).to(image.device)
    sampled = _sampled(window, points, interpolation if samples == 1 else "bilinear")
    return F.avg_pool2d(sampled, samples) if samples > 1 else sampled


def reduced(image: torch.Tensor, reduction: float) -> torch.Tensor:
    """[B,C,H,W] made `reduction` times smaller; whole cells are averaged first, which is fast."""
    height, width = image.shape[-2:]
    cell = max(1, math.floor(reduction / 2))
    if cell > 1:
        image = F.avg_pool2d(image, cell, ceil_mode=True, count_include_pad=False)
    rest = reduction / cell
    matrix = np.array([[rest, 0.0, 0.0], [0.0, rest, 0.0]])
    return resample(image, matrix, (math.ceil(height / reduction), math.ceil(width / reduction)))


def _sampled(
    image: torch.Tensor, points: torch.Tensor, interpolation: Interpolation
) -> torch.Tensor:
    """[B,C,H,W] read at points [h,w,2] in -1..1."""
    if interpolation == "bicubic" and image.device.type == "mps":
        # Apple's backend has no bicubic sampling in every PyTorch version this runs on.
        return _sampled(image.cpu(), points.cpu(), interpolation).to(image.device)
    return F.grid_sample(
        image,
        points.expand(len(image), -1, -1, -1).to(image.dtype),
        mode=interpolation,
        padding_mode="border",
        align_corners=False,
    )


def _needed_window(matrix: np.ndarray, size: tuple[int, int], shrink: int) -> Window:
    """Input pixels under the output rectangle, two (shrunken) pixels of margin, whole cells."""
    height, width = size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ matrix.T
    low = np.floor(corners.min(0)).astype(int) - 2 * shrink
    cells = np.ceil((corners.max(0) + 2 * shrink - low) / shrink).astype(int)
    high = low + cells * shrink
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def cut_window(image: torch.Tensor, window: Window, padding: Padding) -> torch.Tensor:
    """[B,C,H,W] -> the window's pixels [B,C,y1-y0,x1-x0]; outside: mirrored or zero."""
    x0, y0, x1, y1 = window
    height, width = image.shape[-2:]
    left, right = _inner(x0, x1, width)
    top, bottom = _inner(y0, y1, height)
    inner = image[..., top:bottom, left:right]
    margins = (left - x0, x1 - right, top - y0, y1 - bottom)
    if not any(margins):
        return inner
    if padding == "zeros":
        return F.pad(inner, margins)
    if max(margins[:2]) < right - left and max(margins[2:]) < bottom - top:
        return F.pad(inner, margins, mode="reflect")
    rows = torch.from_numpy(_mirrored(np.arange(y0, y1), height)).to(image.device)
    columns = torch.from_numpy(_mirrored(np.arange(x0, x1), width)).to(image.device)
    return image.index_select(-2, rows).index_select(-1, columns)


def _inner(start: int, stop: int, length: int) -> tuple[int, int]:
    """The part of start..stop within 0..length; empty at `stop` or `start` if none is."""
    if stop <= 0:
        return stop, stop
    if start >= length:
        return start, start
    return max(start, 0), min(stop, length)


def _mirrored(index: np.ndarray, length: int) -> np.ndarray:
    """Indices outside 0..length-1 folded back at the first and last pixel, however far outside."""
    last = max(length - 1, 1)
    folded = np.mod(index, 2 * last)
    mirrored: np.ndarray = np.where(folded <= last, folded, 2 * last - folded)
    return np.minimum(mirrored, length - 1)


def warp_affine_fixed_point(image: np.ndarray, inverse: np.ndarray, size: int) -> np.ndarray:
    """OpenCV's `warpAffine` for 8-bit pictures, bilinear, black outside.

    OpenCV walks the output with positions in 1/1024 pixel, rounds them to 1/32 pixel and rounds the
    weighted sum half up; doing the same in integers reproduces its pixels exactly. (Sampling in
    floating point differs from it by up to eight grey levels at the hard edges of the dots.)

    Args:
        image: [H,W,C] uint8.
        inverse: [2,3] float64, takes output positions to input positions (integer pixel centres).
        size: side of the square output.

    Returns:
        [size,size,C] uint8.
    """
    steps = np.arange(size)
    x = np.rint(inverse[0, 0] * steps * 1024).astype(np.int64)[None, :]
    y = np.rint(inverse[1, 0] * steps * 1024).astype(np.int64)[None, :]
    x = x + np.rint((inverse[0, 1] * steps + inverse[0, 2]) * 1024).astype(np.int64)[:, None]
    y = y + np.rint((inverse[1, 1] * steps + inverse[1, 2]) * 1024).astype(np.int64)[:, None]
    x, y = (x + 16) >> 5, (y + 16) >> 5  # now in 1/32 pixel
    warped = np.zeros((size, size, image.shape[2]), np.uint8)
    seen = _any_of_four(image, y >> 5, x >> 5)  # most of a picture of dots is black
    warped[seen] = _bilinear(image, x[seen], y[seen])
    return warped


def _any_of_four(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Where bilinear interpolation from [row, column] meets a pixel that is not black."""
    height, width = image.shape[:2]
    drawn = np.pad(image.any(2), 1)
    near = drawn[:-1, :-1] | drawn[:-1, 1:] | drawn[1:, :-1] | drawn[1:, 1:]
    inside = (row >= -1) & (row < height) & (column >= -1) & (column < width)
    return inside & near[(row + 1).clip(0, height), (column + 1).clip(0, width)]


def _bilinear(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Pixels [N,C] uint8 at positions [N] in 1/32 pixel; black outside the picture."""
    column, row = x >> 5, y >> 5
    right, below = (x & 31)[..., None], (y & 31)[..., None]
    upper = _pixels(image, row, column) * (32 - right) + _pixels(image, row, column + 1) * right
    lower = _pixels(image, row + 1, column) * (32 - right)
    lower = lower + _pixels(image, row + 1, column + 1) * right
    total = upper * (32 - below) + lower * below
    blended: np.ndarray = ((total + 512) >> 10).astype(np.uint8)
    return blended


def _pixels(image: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """image[row, column] as int64, zero outside the picture."""
    height, width = image.shape[:2]
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    values: np.ndarray = image[row.clip(0, height - 1), column.clip(0, width - 1)].astype(np.int64)
    values[~inside] = 0
    return values


def box_blur(image: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over (2 radius + 1)^2 pixels of [B,C,H,W]; edge pixels repeat outside."""
    if radius < 1:
        return image
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    rows = F.avg_pool2d(padded, (2 * radius + 1, 1), stride=1)
    return F.avg_pool2d(rows, (1, 2 * radius + 1), stride=1)


def gaussian_blur(image: torch.Tensor, sigma: float) -> torch.Tensor:
    """Gaussian smoothing of [B,C,H,W], sigma in pixels; edge pixels repeat outside."""
    radius = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-radius, radius + 1, device=image.device, dtype=image.dtype)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).expand(image.shape[1], 1, 1, -1)
    padded = F.pad(image, (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel, groups=image.shape[1])
    return F.conv2d(rows, kernel.transpose(-1, -2), groups=image.shape[1])


WORKING_SIZE = 512
"""Side in pixels of the crop on which faces are parsed and results are composed."""


def reduce_to(picture: Tensor, resolution: int) -> Tensor:
    """`picture` [B,C,S,S] at [B,C,R,R] by averaging areas; unchanged where S = R."""
    if picture.shape[-1] == resolution and picture.shape[-2] == resolution:
        return picture
    return F.interpolate(picture, size=(resolution, resolution), mode="area")


def enlarge_to(picture: Tensor, size: int) -> Tensor:
    """`picture` [B,C,R,R] at [B,C,S,S], bicubic; unchanged where R = S."""
    if picture.shape[-1] == size and picture.shape[-2] == size:
        return picture
    return F.interpolate(picture, size=(size, size), mode="bicubic", align_corners=False)


def require_square(name: str, pictures: Tensor) -> None:
    """Raise ImageError unless [B,3,S,S]."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or 0 in pictures.shape:
        raise ImageError(f"The {name} is [B, 3, S, S], not {list(pictures.shape)}.")
    height, width = pictures.shape[-2:]
    if height != width:
        raise ImageError(
            f"The {name} picture is {width} x {height}, not square: take the square that the face "
            "was cut out in."
        )


def sized(pictures: Tensor, size: int) -> Tensor:
    """Square pictures at another side: averaged where they shrink, bicubic where they grow."""
    if pictures.shape[-1] >= size:
        return reduce_to(pictures, size)
    return enlarge_to(pictures, size).clamp(0, 1)
