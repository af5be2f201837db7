"""Pooled numbers over edits of many identities, with intervals that all share the same draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from ..intervals import Estimate, mean, quotients, ratios, weights
from ..metrics import median_interval
from ..records import EditRecord

Part = Callable[[EditRecord], tuple[float, float]]
"""What one edit adds to the upper and to the lower sum of a ratio."""


def changed_error_part(record: EditRecord) -> tuple[float, float]:
    """Error over change (see `metrics.ChangedError`)."""
    return record.edit.error, record.edit.change


def sharpness_part(record: EditRecord) -> tuple[float, float]:
    """Gradient energy of edits over that of answers (see `sharpness`)."""
    return record.energy.edit, record.energy.answer


class People:
    """The identities of a run and how often each bootstrap resample draws them."""

    def __init__(self, records: Sequence[EditRecord], *, resamples: int, seed: int) -> None:
        self._options = {"resamples": resamples, "seed": seed}
        self.seeds = list(dict.fromkeys(record.seed for record in records))
        self.drawn = weights(len(self.seeds), resamples, seed)
        self._place = {seed: place for place, seed in enumerate(self.seeds)}

    def sums(self, records: Sequence[EditRecord], part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Upper and lower sums [identities,1]."""
        sums = np.zeros((2, len(self.seeds), 1))
        for record in records:
            sums[:, self._place[record.seed], 0] += part(record)
        return sums[0], sums[1]

    def ratio(self, records: Sequence[EditRecord], part: Part = changed_error_part) -> Estimate:
        """The pooled ratio; NaN where no edit has a part in it."""
        if not records:
            return Estimate(math.nan)
        value, low, high = ratios(*self.sums(records, part), self.drawn)
        return Estimate(float(value[0]), float(low[0]), float(high[0]), len(records))

    def relative(self, records: Sequence[EditRecord], others: Sequence[EditRecord]) -> Estimate:
        """Changed-pixel ratio of some edits over that of others; NaN where either is undefined."""
        if not records or not others:
            return Estimate(math.nan)
        sums, other_sums = (self.sums(part, changed_error_part) for part in (records, others))
        value, low, high = quotients(sums, other_sums, self.drawn)
        return Estimate(float(value[0]), float(low[0]), float(high[0]), len(records))

    def mean(
        self, records: Sequence[EditRecord], value: Callable[[EditRecord], float | None]
    ) -> Estimate:
        """Mean over edits; None and NaN are left out."""
        numbers = np.array([math.nan if (n := value(one)) is None else n for one in records])
        place = np.array([self._place[record.seed] for record in records], int)
        return mean(numbers, place, len(self.seeds), self.drawn)

    def median(
        self, records: Sequence[EditRecord], value: Callable[[EditRecord], float | None]
    ) -> Estimate:
        """Median over edits; None is left out."""
        found: list[list[float]] = [[] for _ in self.seeds]
        for record in records:
            number = value(record)
            found[self._place[record.seed]].append(math.nan if number is None else number)
        longest = max(map(len, found), default=0)
        rows = np.array([row + [math.nan] * (longest - len(row)) for row in found])
        measured = rows[np.isfinite(rows)]
        middle = float(np.median(measured)) if measured.size else math.nan
        return Estimate(middle, *median_interval(rows, **self._options), int(measured.size))
