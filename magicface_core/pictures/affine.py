"""Affine transforms [2,3] of the plane and the two similarity fits the preparation needs."""

from __future__ import annotations

import numpy as np


def apply_affine(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[2,3] and points [N,2] -> [N,2]."""
    moved: np.ndarray = np.asarray(points, np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


def invert_affine(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a [2,3] affine transform, as [2,3]."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def umeyama_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, one scale and shift that bring points [N,2] onto [N,2]; never a reflection.

    Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
    1991. Returns [2,3] float64.
    """
    source_mean, target_mean = source.mean(0), target.mean(0)
    centered = source - source_mean
    left, singular, right = np.linalg.svd((target - target_mean).T @ centered)
    sign = np.array([1.0, np.sign(np.linalg.det(left @ right))])
    linear = left @ np.diag(sign) @ right * ((singular * sign).sum() / (centered**2).sum())
    return np.column_stack([linear, target_mean - linear @ source_mean])


def least_squares_similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The published script's fit: least squares over (a, b, x, y) of [[a, -b, x], [b, a, y]].

    The script sums single-precision products; they are kept, since the last bits decide which way
    OpenCV rounds when it warps with the result.

    Points [N,2] each; returns [2,3] float64.
    """
    x, y = source.astype(np.float32).T
    u, v = target.astype(np.float32).T

    def total(products: np.ndarray) -> float:
        return float(products.astype(np.float64).sum())

    squares, sum_x, sum_y, count = total(x * x + y * y), total(x), total(y), float(len(x))
    normal = np.array(
        [
            [squares, 0, sum_x, sum_y],
            [0, squares, -sum_y, sum_x],
            [sum_x, -sum_y, count, 0],
            [sum_y, sum_x, 0, count],
        ]
    )
    right = np.array([total(x * u + y * v), total(x * v - y * u), total(u), total(v)])
    a, b, shift_x, shift_y = np.linalg.solve(normal, right)
    return np.array([[a, -b, shift_x], [b, a, shift_y]])
