"""How measured action units follow the asked ones: slope, leakage and linearity of single edits.

The change asked for is the one that the scale allows, clip(source + delta, 0, 5) - source; the
change measured is edit minus source. Both lines go through the origin, so that what an editor (or
its autoencoder) adds to every edit counts as an error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from magicface_core.aus import AU_ORDER

from ..intervals import Estimate, ratios, sums_by_cluster
from .edit_table import EditTable

UNITS = len(AU_ORDER)
LEAST_ASKED = 0.5
"""Edits that the scale leaves less of (a smile on a face that smiles) show no response."""
NOTHING = 1e-9
DEFINITIONS: dict[str, str] = {
    "slope": "measured change per unit of asked change, least squares through the origin over the "
    "single-AU edits; asked = clip(source + delta, 0, 5) - source, edits of which the scale leaves "
    f"less than {LEAST_ASKED:g} left out",
    "leakage": "row: the AU asked for; column: change of another AU per unit asked, as the slope",
    "linearity": "squared correlation of asked and measured change over the levels of one person "
    "(the unedited picture included), 0 without any response; mean over people",
}


@dataclass(frozen=True)
class Response:
    """What single-AU edits do.

    slopes      [12,12] row: AU asked for, column: AU measured; the diagonal is the response slope
    low, high   ends of their 95 % intervals
    linearity   [12] estimates
    edits       [12] how many edits have part in a row
    """

    slopes: np.ndarray
    low: np.ndarray
    high: np.ndarray
    linearity: tuple[Estimate, ...]
    edits: np.ndarray

    @property
    def leakage(self) -> np.ndarray:
        """[12,12] absolute slopes without the diagonal (NaN there)."""
        values = np.abs(self.slopes)
        np.fill_diagonal(values, math.nan)
        return values

    def slope(self, index: int) -> Estimate:
        """The response of one AU to itself."""
        place = (index, index)
        return Estimate(
            float(self.slopes[place]),
            float(self.low[place]),
            float(self.high[place]),
            int(self.edits[index]),
        )


def response(table: EditTable, drawn: np.ndarray) -> Response:
    """Slopes, leakage and linearity of the single-AU edits of a table."""
    return fitted_response(single_changes(table), len(table.people), drawn)


@dataclass(frozen=True)
class SingleChanges:
    """n edits of one AU each.

    units [n] index of the AU, strengths [n] its delta, asked [n] and measured [n,12] changes,
    person [n].
    """

    units: np.ndarray
    strengths: np.ndarray
    asked: np.ndarray
    measured: np.ndarray
    person: np.ndarray

    def sums(self, people: int) -> tuple[np.ndarray, np.ndarray]:
        """Products and squares [people,144]: their ratio is the slope, AU asked x AU measured."""
        products, squares = np.zeros((2, people, UNITS, UNITS))
        np.add.at(products, (self.person, self.units), self.asked[:, None] * self.measured)
        np.add.at(
            squares, (self.person, self.units), np.square(self.asked)[:, None] * np.ones(UNITS)
        )
        return products.reshape(people, -1), squares.reshape(people, -1)

    @property
    def counts(self) -> np.ndarray:
        """[12] how many edits ask for each AU."""
        return np.bincount(self.units, minlength=UNITS)

    @property
    def own(self) -> np.ndarray:
        """[n] measured change of the AU asked for."""
        return self.measured[np.arange(len(self.units)), self.units]


def single_changes(table: EditTable) -> SingleChanges:
    """The single-AU edits of a table that ask for a change, with a face before and after."""
    singles = table.chosen((table.changed_units == 1) & table.source_face & table.edit_face)
    units, strengths = singles.requested.nonzero()[1], singles.requested.sum(1)
    asked = (singles.targets - singles.source_aus)[np.arange(len(singles)), units]
    measured, kept = singles.edit_aus - singles.source_aus, np.abs(asked) >= LEAST_ASKED
    return SingleChanges(
        units[kept], strengths[kept], asked[kept], measured[kept], singles.person[kept]
    )


def fitted_response(changes: SingleChanges, people: int, drawn: np.ndarray) -> Response:
    """The response from single edits of so many people."""
    matrices = (part.reshape(UNITS, UNITS) for part in ratios(*changes.sums(people), drawn))
    slopes, low, high = matrices
    linear = _linearity(changes, people)
    sums, counts = sums_by_cluster(linear, np.arange(people), people)
    ends = zip(*ratios(sums, counts, drawn), counts.sum(0), strict=True)
    linearity = tuple(Estimate(float(v), float(a), float(b), int(n)) for v, a, b, n in ends)
    return Response(slopes, low, high, linearity, changes.counts)


def _linearity(changes: SingleChanges, people: int) -> np.ndarray:
    """[people,12] squared correlations; NaN with fewer than two distinct changes asked for."""
    found = np.full((people, UNITS), math.nan)
    for who in range(people):
        for unit in range(UNITS):
            chosen = (changes.person == who) & (changes.units == unit)
            x = np.append(changes.asked[chosen], 0.0)
            y = np.append(changes.own[chosen], 0.0)
            if len(np.unique(np.round(x, 6))) > 2:
                found[who, unit] = _squared_correlation(x, y)
    return found


def _squared_correlation(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    if np.abs(y).max() < NOTHING:
        return 0.0
    return float((x @ y) ** 2 / ((x @ x) * (y @ y)))


def mean_responses(table: EditTable) -> dict[int, list[tuple[float, float, float]]]:
    """For each AU's index, (strength requested, mean change asked, mean change measured)."""
    changes = single_changes(table)
    curves: dict[int, list[tuple[float, float, float]]] = {}
    for unit in range(UNITS):
        curves[unit] = []
        for strength in np.unique(changes.strengths[changes.units == unit]):
            chosen = (changes.units == unit) & (changes.strengths == strength)
            asked, measured = changes.asked[chosen].mean(), changes.own[chosen].mean()
            curves[unit].append((float(strength), float(asked), float(measured)))
    return curves
