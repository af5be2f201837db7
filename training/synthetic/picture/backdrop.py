"""Procedural backdrops: gradients with blurred lights, plaster, interiors or foliage."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..head.noise import fractal_noise
from ..numerics import Array, smoothstep, srgb_to_linear

BACKDROP_STREAM = 11
"""First word of the random stream of backdrops."""
PLAIN, LIGHTS, PLASTER, INTERIOR, FOLIAGE = range(5)
COLOURS = 4


@dataclass(frozen=True)
class _Canvas:
    """Pixel positions 0..1 [n, n], palette (linear RGB) and the direction of the gradient."""

    x: Array
    y: Array
    palette: list[Array]
    angle: float

    @property
    def size(self) -> int:
        return len(self.x)

    def random_colour(self, rng: np.random.Generator, dimmest: float, brightest: float) -> Array:
        colour = self.palette[rng.integers(COLOURS)]
        return colour * rng.uniform(dimmest, brightest)


def _sample_colour(saturation: float, rng: np.random.Generator) -> Array:
    colour = rng.random(3)
    muted = colour.mean() + (colour - colour.mean()) * saturation
    return srgb_to_linear(np.clip(muted * rng.uniform(0.35, 1.1) + rng.uniform(0, 0.3), 0, 1))


def _lights(picture: Array, canvas: _Canvas, rng: np.random.Generator) -> Array:
    """Discs out of focus."""
    for _ in range(rng.integers(4, 22)):
        centre_x, centre_y, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.03, 0.25)
        distance = np.hypot(canvas.x - centre_x, canvas.y - centre_y)
        blur = rng.uniform(0.005, 0.08)
        opacity = rng.uniform(0.2, 0.9) * smoothstep(radius + blur, radius - blur, distance)
        opacity = opacity[..., None]
        colour = canvas.random_colour(rng, 0.4, 1.6)
        picture = picture * (1 - opacity) + colour * opacity
    return picture


def _plaster(picture: Array, canvas: _Canvas, rng: np.random.Generator) -> Array:
    """A rough wall."""
    cells = int(rng.integers(2, 12))
    noise = fractal_noise(rng, canvas.size, canvas.size, cells, 5)[..., None]
    return picture * (1 + rng.uniform(0.15, 0.6) * noise)


def _interior(picture: Array, canvas: _Canvas, rng: np.random.Generator) -> Array:
    """Soft rectangles: windows, furniture."""
    for _ in range(rng.integers(3, 12)):
        left, top = rng.uniform(-0.2, 1), rng.uniform(-0.2, 1)
        right, bottom = left + rng.uniform(0.05, 0.6), top + rng.uniform(0.05, 0.8)
        blur = rng.uniform(0.002, 0.05)
        inside = (
            smoothstep(left - blur, left + blur, canvas.x)
            * smoothstep(right + blur, right - blur, canvas.x)
            * smoothstep(top - blur, top + blur, canvas.y)
            * smoothstep(bottom + blur, bottom - blur, canvas.y)
        )
        opacity = (inside * rng.uniform(0.4, 1))[..., None]
        picture = picture * (1 - opacity) + canvas.random_colour(rng, 0.4, 1.4) * opacity
    return picture


def _foliage(picture: Array, canvas: _Canvas, rng: np.random.Generator) -> Array:
    """Blotches, half of the time mixed with stripes."""
    cells = int(rng.integers(6, 24))
    noise = fractal_noise(rng, canvas.size, canvas.size, cells, 4)
    along = canvas.x * math.cos(canvas.angle) + canvas.y * math.sin(canvas.angle)
    stripes = np.sin(along * rng.uniform(15, 80)) * rng.integers(0, 2)
    share = smoothstep(-0.2, 0.2, stripes + noise)[..., None]
    return picture * (1 - share) + canvas.palette[2] * share


def paint_backdrop(seed: int, size: int) -> Array:
    """Linear RGB [size, size, 3] float32, 0.003..1.2."""
    rng = np.random.default_rng([BACKDROP_STREAM, seed])
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    saturation = rng.uniform(0.1, 0.8)
    palette = [_sample_colour(saturation, rng) for _ in range(COLOURS)]
    canvas = _Canvas(x, y, palette, angle=rng.uniform(0, 2 * math.pi))
    across = (x - 0.5) * math.cos(canvas.angle) + (y - 0.5) * math.sin(canvas.angle) + 0.5
    share = np.clip(across, 0, 1)[..., None]
    picture = palette[0] * (1 - share) + palette[1] * share
    family = rng.integers(0, 5)
    painters = {LIGHTS: _lights, PLASTER: _plaster, INTERIOR: _interior, FOLIAGE: _foliage}
    if family != PLAIN:
        picture = painters[int(family)](picture, canvas, rng)
    distance = ((x - 0.5) ** 2 + (y - 0.5) ** 2)[..., None]
    vignette = 1 - rng.uniform(0, 0.5) * distance
    return np.clip(picture * vignette, 0.003, 1.2).astype(np.float32)
