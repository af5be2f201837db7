"""Compiled z-buffer and interpolation kernels. Imported only where numba is installed."""

from __future__ import annotations

import math

import numba
from numpy import ndarray


@numba.njit(cache=True, fastmath=True, nogil=True)
def fill_triangles(
    points: ndarray,
    triangles: ndarray,
    two_sided: ndarray,
    size: int,
    nearest: ndarray,
    depth: ndarray,
) -> None:
    """Write the id and depth of the nearest triangle at every pixel centre it covers."""
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        x0, y0 = points[a, 0], points[a, 1]
        x1, y1 = points[b, 0], points[b, 1]
        x2, y2 = points[c, 0], points[c, 1]
        area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
        if area == 0.0 or (area > 0.0 and two_sided[t] == 0):
            continue
        left = max(0, math.ceil(min(x0, min(x1, x2)) - 0.5))
        right = min(size - 1, math.floor(max(x0, max(x1, x2)) - 0.5))
        top = max(0, math.ceil(min(y0, min(y1, y2)) - 0.5))
        bottom = min(size - 1, math.floor(max(y0, max(y1, y2)) - 0.5))
        if left > right or top > bottom:
            continue
        inverse = 1.0 / area
        z0 = points[a, 2]
        slope1, slope2 = points[b, 2] - z0, points[c, 2] - z0
        ax, ay = (y2 - y0) * inverse, -(x2 - x0) * inverse
        bx, by = -(y1 - y0) * inverse, (x1 - x0) * inverse
        for y in range(top, bottom + 1):
            dy = y + 0.5 - y0
            for x in range(left, right + 1):
                dx = x + 0.5 - x0
                w1 = dx * ax + dy * ay
                if w1 < 0.0:
                    continue
                w2 = dx * bx + dy * by
                if w2 < 0.0 or w1 + w2 > 1.0:
                    continue
                z = z0 + w1 * slope1 + w2 * slope2
                if z < depth[y, x]:
                    depth[y, x] = z
                    nearest[y, x] = t


@numba.njit(cache=True, fastmath=True, nogil=True)
def interpolate_pixels(
    points: ndarray,
    triangles: ndarray,
    triangle_of_pixel: ndarray,
    pixels: ndarray,
    size: int,
    attributes: ndarray,
    out: ndarray,
) -> None:
    """Perspective-correct vertex attributes at flat pixel indices, written to ``out``."""
    for i in range(pixels.shape[0]):
        t = triangle_of_pixel[i]
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        dx = pixels[i] % size + 0.5 - points[a, 0]
        dy = pixels[i] // size + 0.5 - points[a, 1]
        e1x, e1y = points[b, 0] - points[a, 0], points[b, 1] - points[a, 1]
        e2x, e2y = points[c, 0] - points[a, 0], points[c, 1] - points[a, 1]
        inverse = 1.0 / (e1x * e2y - e2x * e1y)
        w1 = min(max((dx * e2y - e2x * dy) * inverse, 0.0), 1.0)
        w2 = min(max((e1x * dy - dx * e1y) * inverse, 0.0), 1.0)
        w0 = max(1.0 - w1 - w2, 0.0) / points[a, 2]
        w1 /= points[b, 2]
        w2 /= points[c, 2]
        scale = 1.0 / (w0 + w1 + w2)
        w0 *= scale
        w1 *= scale
        w2 *= scale
        for k in range(attributes.shape[1]):
            out[i, k] = w0 * attributes[a, k] + w1 * attributes[b, k] + w2 * attributes[c, k]
