"""LibreFace's aligned face, pixel for pixel: the picture its network was trained on.

The recipe of FFHQ (Karras et al., "A style-based generator architecture", 2019) on MediaPipe's
mesh: a turned square about eyes and mouth is cut out, what lies outside the picture is filled with
blurred black, and the square is drawn 512 pixels wide.

Deviation: faces above 1024 pixels, at which LibreFace stops with an error of current Pillow, are
reduced as FFHQ does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from ..errors import ImageError
from ..pictures.images import to_uint8

ALIGNED_SIZE = 512
SHRINK_UNIT = 512.0  # squares of twice this size and more are drawn from a smaller copy
# Rings of the eyes, image-right one first, then the outer and inner lips.
EYE_RINGS: tuple[tuple[int, ...], tuple[int, ...]] = (
    (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398),
    (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173),
)
LIPS: tuple[int, ...] = (
    *(61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415),
)
EYE_POINTS = len(EYE_RINGS[0])
LEAST_SIDE = 4.0  # pixels; a smaller square holds no face


def alignment_points(mesh: np.ndarray) -> np.ndarray:
    """The points of a mesh [478,2+] that place the square: [72,2], two eye rings and the lips."""
    points: np.ndarray = mesh[[*EYE_RINGS[0], *EYE_RINGS[1], *LIPS], :2]
    return points


def align_face(image: torch.Tensor, points: np.ndarray) -> Image.Image:
    """Cut LibreFace's aligned face out of a picture.

    Args:
        image: [1,3,H,W] float 0..1.
        points: [72,2] `alignment_points` in its pixels.

    Returns:
        RGB, 512 x 512.

    Raises:
        ImageError: the points are no face, or it lies outside the picture.
    """
    pixels, square = _with_surroundings(*_cut(image, face_square(points)))
    return Image.fromarray(pixels).transform(
        (ALIGNED_SIZE, ALIGNED_SIZE),
        Image.Transform.QUAD,
        tuple((square.corners + 0.5).flatten()),
        Image.Resampling.BILINEAR,
    )


def _cut(image: torch.Tensor, square: FaceSquare) -> tuple[np.ndarray, FaceSquare]:
    """The part of a picture about a square, [h,w,3] uint8, and the square in its pixels."""
    shrink = int(square.side / SHRINK_UNIT)
    if shrink <= 1:
        left, top, right, bottom = square.window(image.shape[-1], image.shape[-2])
        return to_uint8(image[..., top:bottom, left:right]), square.moved(-left, -top)
    whole = Image.fromarray(to_uint8(image))
    width, height = (max(1, int(np.rint(length / shrink))) for length in whole.size)
    square = square.scaled(1 / shrink)
    left, top, right, bottom = square.window(width, height)
    pixels = np.asarray(whole.resize((width, height), Image.Resampling.LANCZOS))
    return pixels[top:bottom, left:right], square.moved(-left, -top)


def _with_surroundings(pixels: np.ndarray, square: FaceSquare) -> tuple[np.ndarray, FaceSquare]:
    """The same with margins on all sides, where the square reaches out of the pixels."""
    margins = square.margins(pixels.shape[1], pixels.shape[0])
    if max(margins) <= square.border - 4:
        return pixels, square
    least = int(np.rint(square.side * 0.3))
    margins = tuple(max(margin, least) for margin in margins)
    pixels = faded(pixels, margins, 0.02 * square.side)
    return pixels, square.moved(margins[0], margins[1])


@dataclass(frozen=True)
class FaceSquare:
    """A turned square: corners [4,2] upper left, lower left, lower right, upper right; its side."""

    corners: np.ndarray
    side: float

    @property
    def border(self) -> int:
        """Pixels around the square that stay with it."""
        return max(int(np.rint(self.side * 0.1)), 3)

    def scaled(self, factor: float) -> FaceSquare:
        return FaceSquare(self.corners * factor, self.side * factor)

    def moved(self, x: int, y: int) -> FaceSquare:
        return FaceSquare(self.corners + np.array([x, y]), self.side)

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the square with its border, inside the picture."""
        (left, top), (right, bottom) = self._bounds()
        left, right = max(left - self.border, 0), min(right + self.border, width)
        top, bottom = max(top - self.border, 0), min(bottom + self.border, height)
        if left >= right or top >= bottom:
            raise ImageError(
                "The face lies outside the picture; look for faces in this picture, not in a copy."
            )
        return left, top, right, bottom

    def margins(self, width: int, height: int) -> tuple[int, ...]:
        """How far the square with its border reaches out: left, top, right, bottom."""
        (left, top), (right, bottom) = self._bounds()
        beyond = (-left, -top, right - width, bottom - height)
        return tuple(max(pixels + self.border, 0) for pixels in beyond)

    def _bounds(self) -> tuple[tuple[int, int], tuple[int, int]]:
        low, high = np.floor(self.corners.min(0)), np.ceil(self.corners.max(0))
        return (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))


def face_square(points: np.ndarray) -> FaceSquare:
    """Where a face [72,2] is cut: along eyes and mouth, 4 eye or 3.6 mouth distances wide."""
    if not np.isfinite(points).all():
        raise ImageError("The face's mesh holds NaN or infinite values; find the face again.")
    one, other, lips = np.split(points, [EYE_POINTS, 2 * EYE_POINTS])
    right_eye, left_eye = one.mean(0), other.mean(0)
    mouth = (lips[lips[:, 0].argmin()] + lips[lips[:, 0].argmax()]) / 2
    eyes = (left_eye + right_eye) * 0.5
    across, down = right_eye - left_eye, mouth - eyes
    x = across - np.array([-down[1], down[0]])
    half = max(np.hypot(*across) * 2.0, np.hypot(*down) * 1.8)
    length = np.hypot(*x)
    if 2 * half < LEAST_SIDE or length < 1e-6 * half:
        raise ImageError(
            f"The face is {2 * half:.3g} pixels wide at its eyes and mouth, which is no face to "
            "read; use a picture that shows it larger."
        )
    x = x / length * half
    y = np.array([-x[1], x[0]])
    center = eyes + down * 0.1
    corners = np.stack([center - x - y, center - x + y, center + x + y, center + x - y])
    return FaceSquare(corners, float(np.hypot(*x) * 2))


def faded(pixels: np.ndarray, margins: tuple[int, ...], sigma: float) -> np.ndarray:
    """Add black margins that the picture runs into, blurred and drawn to its median colour.

    Args:
        pixels: [H,W,3] uint8.
        margins: pixels to add left, top, right and below, at least 1 each.
        sigma: of the blur, in pixels.

    Returns:
        [top+H+bottom,left+W+right,3] uint8.
    """
    left, top, right, bottom = margins
    canvas = np.pad(pixels.astype(np.float32), ((top, bottom), (left, right), (0, 0)))
    height, width = canvas.shape[:2]
    x = np.arange(width)[None, :, None]
    y = np.arange(height)[:, None, None]
    near_x = np.minimum(x / left, (width - 1 - x) / right)
    near_y = np.minimum(y / top, (height - 1 - y) / bottom)
    outside = np.maximum(1.0 - near_x, 1.0 - near_y)
    blurred = _gaussian(_gaussian(canvas, sigma, 0), sigma, 1)
    canvas += (blurred - canvas) * np.clip(outside * 3.0 + 1.0, 0.0, 1.0)
    canvas += (np.median(canvas, axis=(0, 1)) - canvas) * np.clip(outside, 0.0, 1.0)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def _gaussian(values: np.ndarray, sigma: float, axis: int) -> np.ndarray:
    """SciPy's `gaussian_filter1d` with its defaults: mirrored edges, cut at four sigma."""
    radius = int(4.0 * sigma + 0.5)
    weights = np.exp(-0.5 / (sigma * sigma) * np.arange(-radius, radius + 1) ** 2)
    lines = np.moveaxis(values, axis, -1).astype(np.float64)
    length = lines.shape[-1]
    lines = np.pad(lines, ((0, 0), (0, 0), (radius, radius)), mode="symmetric")
    # A product of spectra instead of hundreds of sums; lengths of many small factors are fast.
    period = math.ceil(lines.shape[-1] / 128) * 128
    spectrum = np.fft.rfft(lines, period) * np.fft.rfft(weights / weights.sum(), period)
    smooth = np.fft.irfft(spectrum, period)[..., 2 * radius : 2 * radius + length]
    return np.moveaxis(smooth, -1, axis).astype(np.float32)
