"""Measures of an edit against its exact answer, and error bars that respect identities.

All pictures are ``[1,3,H,W]`` (or ``[3,H,W]``) tensors with values 0..1, masks ``[1,1,H,W]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch

CHANGE_THRESHOLD = 0.1
"""A pixel truly changes when source and answer differ there by more than this (full range 1)."""

BOOTSTRAP_RESAMPLES = 2000


@dataclass(frozen=True)
class ChangedError:
    """Sums over the truly changed pixels of one edit, or of many: these pool by addition.

    ``error`` sums |edit - answer| and ``change`` sums |source - answer|, both averaged over the
    three channels of a pixel; ``pixels`` counts the changed pixels.
    """

    error: float = 0.0
    change: float = 0.0
    pixels: int = 0

    def __add__(self, other: ChangedError) -> ChangedError:
        return ChangedError(
            self.error + other.error, self.change + other.change, self.pixels + other.pixels
        )

    @property
    def ratio(self) -> float:
        """``error / change``: 0 is the exact answer, 1 is no better than leaving the source."""
        return self.error / self.change if self.change > 0 else math.nan


def changed_error(
    edit: torch.Tensor,
    answer: torch.Tensor,
    source: torch.Tensor,
    threshold: float = CHANGE_THRESHOLD,
) -> ChangedError:
    """Error of ``edit`` over the pixels that truly change between ``source`` and ``answer``.

    A pixel truly changes when the mean over its three channels of |source - answer| exceeds
    ``threshold``; then all three channels count. Pixels outside the edited region count as well.
    """
    change = _channel_mean(source, answer)
    changed = changed_pixels(source, answer, threshold)
    error = _channel_mean(edit, answer)
    return ChangedError(
        float(error[changed].sum()), float(change[changed].sum()), int(changed.sum())
    )


def changed_pixels(
    source: torch.Tensor, answer: torch.Tensor, threshold: float = CHANGE_THRESHOLD
) -> torch.Tensor:
    """Bool [1,H,W] (or [H,W]): where source and answer differ by more than the threshold."""
    return _channel_mean(source, answer) > threshold


def _channel_mean(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    if first.shape != second.shape:
        raise ValueError(f"pictures of shapes {tuple(first.shape)} and {tuple(second.shape)}")
    return (first.double() - second.double()).abs().mean(dim=-3)


def pooled(errors: Iterable[ChangedError]) -> ChangedError:
    """The error of a whole set of edits: sums of both parts, never a mean of ratios.

    A mean of ratios would let an edit of a dozen pixels weigh as much as one of a thousand.
    """
    return sum(errors, ChangedError())


def masked_rmse(edit: torch.Tensor, answer: torch.Tensor, where: torch.Tensor) -> float:
    """Root mean square difference where a bool mask ``[1,1,H,W]`` is True; NaN where nowhere."""
    difference = (edit.double() - answer.double())[where.expand_as(edit)]
    return float(difference.square().mean().sqrt()) if difference.numel() else math.nan


def mixture(changes: torch.Tensor, parts: torch.Tensor) -> np.ndarray:
    """How much of each of K known changes is in each of N changes: [N,K] by least squares.

    changes ``[N,3,H,W]`` and parts ``[K,3,H,W]`` are differences to one source. With the exact
    answers to single action units as parts, row and column of one unit give its response (1 is
    all of it), the other columns what leaks into other units, and no estimator has a say.
    """
    if len(parts) == 0:
        return np.zeros((len(changes), 0))
    basis = parts.double().flatten(1).numpy()
    wanted = changes.double().flatten(1).numpy()
    found: np.ndarray = np.linalg.lstsq(basis @ basis.T, basis @ wanted.T, rcond=1e-9)[0].T
    return found


def pose_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Root mean square over yaw, pitch and roll [3] of two poses, in degrees."""
    apart = (second - first + 180) % 360 - 180
    return float(np.sqrt(np.square(apart).mean()))


def identity_distance(first: np.ndarray, second: np.ndarray) -> float:
    """L2 distance of two ``Perception.embed`` vectors; about 0.6 parts strangers."""
    return float(np.linalg.norm(np.asarray(first, float) - np.asarray(second, float)))


def bootstrap_interval(
    clusters: int,
    statistic: Callable[[np.ndarray], float],
    *,
    resamples: int = BOOTSTRAP_RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic under resampling of whole clusters (identities).

    Edits of one person share their errors, so resampling edits one by one would give intervals
    several times too narrow. ``statistic`` maps indices ``[clusters]`` into 0..clusters-1 (drawn
    with replacement) to a number; draws where it is NaN are left out. Two editors measured on the
    same identities are compared by a statistic of their difference. Fewer than two clusters, or
    no finite draw, give (NaN, NaN).
    """
    if clusters < 2:
        return math.nan, math.nan
    draws = np.random.default_rng(seed).integers(clusters, size=(resamples, clusters))
    values = np.array([statistic(indices) for indices in draws], dtype=float)
    values = values[np.isfinite(values)]
    if values.size == 0:
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def ratio_interval(
    errors: np.ndarray, changes: np.ndarray, *, resamples: int = BOOTSTRAP_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a pooled ratio from the sums per identity, both ``[identities]``."""

    def ratio(indices: np.ndarray) -> float:
        total = float(changes[indices].sum())
        return float(errors[indices].sum()) / total if total > 0 else math.nan

    return bootstrap_interval(len(errors), ratio, resamples=resamples, seed=seed)


def median_interval(
    values: np.ndarray, *, resamples: int = BOOTSTRAP_RESAMPLES, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of the median of ``values`` ``[identities, edits]``; NaN marks a gap."""

    def median(indices: np.ndarray) -> float:
        chosen = values[indices]
        chosen = chosen[np.isfinite(chosen)]
        return float(np.median(chosen)) if chosen.size else math.nan

    return bootstrap_interval(len(values), median, resamples=resamples, seed=seed)
