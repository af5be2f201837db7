"""Many bootstrap intervals at once, by the same resampling of identities as `metrics`.

Every number of a table is a ratio of two sums over edits (a mean is one: sum over count; a slope:
sum of products over sum of squares), and a sum over a resample is a weighted sum over identities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; NaN where undefined. `count` edits have part in it."""

    value: float
    low: float = math.nan
    high: float = math.nan
    count: int = 0

    def as_dict(self) -> dict[str, Any]:
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count}


def weights(clusters: int, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """How often each resample draws each cluster: [resamples, clusters].

    The draws are those of `metrics.bootstrap_interval`.
    """
    draws = np.random.default_rng(seed).integers(clusters, size=(resamples, clusters))
    counts = np.zeros((resamples, clusters))
    for column in draws.T:
        counts[np.arange(resamples), column] += 1
    return counts


def ratios(
    sums: np.ndarray, totals: np.ndarray, drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pooled ratios [K] and both ends of their intervals from sums and totals [clusters, K].

    NaN where the total is zero, and for the ends with fewer than two clusters.
    """
    values = _divided(sums.sum(0), totals.sum(0))
    low, high = _ends(_divided(drawn @ sums, drawn @ totals), len(sums))
    return values, low, high


def differences(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Second minus first pooled ratio [K], with ends; both are (sums, totals) [clusters, K].

    Row i of both is the same identity and both share each draw, so what makes an identity hard for
    either cancels.
    """
    (sums, totals), (other_sums, other_totals) = first, second
    values = _divided(other_sums.sum(0), other_totals.sum(0)) - _divided(sums.sum(0), totals.sum(0))
    resampled = _divided(drawn @ other_sums, drawn @ other_totals) - _divided(
        drawn @ sums, drawn @ totals
    )
    return values, *_ends(resampled, len(sums))


def quotients(
    first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], drawn: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First over second pooled ratio [K], with ends; as `differences`, which share each draw."""
    (sums, totals), (other_sums, other_totals) = first, second
    values = _divided(
        _divided(sums.sum(0), totals.sum(0)), _divided(other_sums.sum(0), other_totals.sum(0))
    )
    resampled = _divided(
        _divided(drawn @ sums, drawn @ totals), _divided(drawn @ other_sums, drawn @ other_totals)
    )
    return values, *_ends(resampled, len(sums))


def sums_by_cluster(
    values: np.ndarray, cluster: np.ndarray, clusters: int
) -> tuple[np.ndarray, np.ndarray]:
    """Sums and counts [clusters, K] of values [n, K]; NaN is left out."""
    finite = np.isfinite(values)
    sums, counts = np.zeros((2, clusters, values.shape[1]))
    np.add.at(sums, cluster, np.where(finite, values, 0.0))
    np.add.at(counts, cluster, finite)
    return sums, counts


def mean(values: np.ndarray, cluster: np.ndarray, clusters: int, drawn: np.ndarray) -> Estimate:
    """Mean of values [n] over edits, NaN left out."""
    sums, counts = sums_by_cluster(values[:, None], cluster, clusters)
    value, low, high = ratios(sums, counts, drawn)
    return Estimate(float(value[0]), float(low[0]), float(high[0]), int(counts.sum()))


def _divided(sums: np.ndarray, totals: np.ndarray) -> np.ndarray:
    quotient: np.ndarray = np.divide(
        sums, totals, out=np.full(np.shape(totals), math.nan), where=totals > 0
    )
    return quotient


def _ends(resampled: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles over resamples [resamples, K], draws without a value left out."""
    nothing = np.full(resampled.shape[1], math.nan)
    if clusters < 2:
        return nothing, nothing
    found = np.isfinite(resampled).any(0)
    ends = np.full((2, resampled.shape[1]), math.nan)
    if found.any():
        share = (1 - LEVEL) / 2
        ends[:, found] = np.nanquantile(resampled[:, found], [share, 1 - share], axis=0)
    return ends[0], ends[1]
