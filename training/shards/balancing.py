"""Weights that bring rare changes of expression and pose into the pairs.

Changes are counted in bins of signed strength for each AU, and turns of the head in bins of
degrees. A pair weighs as much as the rarest of its changes, times the rarity of its turn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from magicface_core.aus import AU_ORDER

from .candidates import Candidates

CHANGE_EDGES = np.array([-3.0, -1.0, 1.0, 3.0])  # five bins: strong and mild, down and up, none
NO_CHANGE = 2  # the bin in the middle
TURN_EDGES = np.array([5.0, 15.0, 30.0])  # degrees
RAREST = 1000.0  # a bin that is rarer than this part of all weighs no more than that


@dataclass
class Frequencies:
    """How often each bin occurs among all candidates, in both directions.

    changes [12,5], turns [4]
    """

    changes: np.ndarray = field(
        default_factory=lambda: np.zeros((len(AU_ORDER), len(CHANGE_EDGES) + 1))
    )
    turns: np.ndarray = field(default_factory=lambda: np.zeros(len(TURN_EDGES) + 1))

    def add(self, candidates: Candidates) -> None:
        """Count the candidates of one identity."""
        bins = np.digitize(candidates.delta, CHANGE_EDGES)
        for unit in range(len(AU_ORDER)):
            counts = np.bincount(bins[:, unit], minlength=self.changes.shape[1])
            self.changes[unit] += counts + counts[::-1]  # the other direction turns the signs
        turns = np.digitize(candidates.turn, TURN_EDGES)
        self.turns += 2 * np.bincount(turns, minlength=len(self.turns))

    def weights(self, candidates: Candidates, power: float) -> np.ndarray:
        """How gladly each candidate is taken: [M] float64, above 0."""
        bins = np.digitize(candidates.delta, CHANGE_EDGES)
        rarity = _rarity(self.changes, power)
        rarity[:, NO_CHANGE] = 0
        changes = rarity[np.arange(len(AU_ORDER)), bins].max(axis=1, initial=0)
        turns = _rarity(self.turns[None], power)[0][np.digitize(candidates.turn, TURN_EDGES)]
        return np.where(changes > 0, changes, 1) * turns


def _rarity(counts: np.ndarray, power: float) -> np.ndarray:
    """The inverse of each bin's share of its row, limited, to a power."""
    totals = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.minimum(totals / np.maximum(counts, 1), RAREST) ** power
