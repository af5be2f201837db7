"""MagicFace-387-v1: 387 signed AU combinations under a published name, fixed for good.

The paper evaluates 387 combinations (arXiv:2501.02260, section IV) whose list was never published.
This is our own list, not the paper's set: all 66 pairs and all 220 triples of the twelve units, and
101 sets of four to six units. Those are the ones that most prototypes of `PROTOTYPES` allow (units
that appear together in the EMFACS tables of P. Ekman and W. V. Friesen, in the compound expressions
of S. Du, Y. Tao and A. M. Martinez, PNAS 2014, and in the pain expression of K. M. Prkachin, 1992,
as far as the twelve units reach).

Strengths 1 to 5 and signs (one of four takes a unit away) come from SHA-256 as a counter-based
generator, so the list depends on no library's random numbers.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import combinations

from magicface_core.aus import AU_ORDER, AUDelta

COMBINATIONS_NAME = "MagicFace-387-v1"
COMBINATIONS_NOTICE = f"{COMBINATIONS_NAME}, not the paper's set"
FREQUENT_SETS = 101
FREQUENT_SIZES = range(4, 7)
STRENGTHS = (1, 2, 3, 4, 5)
NEGATIVE_SHARE = 4
"""One change of so many is negative."""

Units = tuple[int, ...]

PROTOTYPES: dict[str, tuple[Units, Units]] = {
    "happiness": ((6, 12), (1, 2, 5, 25, 26)),
    "happy surprise": ((1, 2, 12), (5, 6, 25, 26)),
    "happy disgust": ((9, 12), (4, 6, 17, 25, 26)),
    "surprise": ((1, 2, 5), (25, 26)),
    "awe": ((1, 2, 5, 25), (4, 20, 26)),
    "fear": ((1, 2, 4, 5), (20, 25, 26)),
    "fear, brows drawn together": ((1, 4, 5), (20, 25, 26)),
    "sadness": ((1, 4, 15), (6, 17, 25, 26)),
    "sad fear": ((1, 4, 20), (5, 15, 25, 26)),
    "sad surprise": ((1, 4, 25, 26), (2, 5, 15)),
    "sad anger": ((4, 15), (5, 6, 17, 25)),
    "anger": ((4, 5), (9, 17, 20, 25, 26)),
    "angry surprise": ((4, 25, 26), (1, 2, 5)),
    "angry disgust": ((4, 9, 17), (5, 15, 20, 25)),
    "disgust": ((9,), (4, 6, 15, 17, 25, 26)),
    "sad disgust": ((1, 4, 9), (6, 15, 17, 25)),
    "fearful disgust": ((1, 4, 9), (2, 5, 20, 25)),
    "pain": ((4, 6, 9), (12, 20, 25, 26)),
    "held-back smile": ((12, 15), (6, 17, 20, 25)),
}
"""Units that each prototype needs, and those that may join them."""


def combination_deltas() -> tuple[AUDelta, ...]:
    """The 387 changes, pairs first, then triples, then the frequent sets; always the same."""
    return tuple(_signed(units) for units in unit_sets())


def unit_sets() -> tuple[Units, ...]:
    """Which units each of the 387 combinations changes, in ascending order."""
    pairs, triples = combinations(AU_ORDER, 2), combinations(AU_ORDER, 3)
    return (*pairs, *triples, *frequent_sets())


def frequent_sets() -> tuple[Units, ...]:
    """The 101 sets of four to six units that most prototypes allow; ties by size, then units."""
    counts = Counter(units for prototype in PROTOTYPES.values() for units in _allowed(*prototype))
    ranked = sorted(counts, key=lambda units: (-counts[units], len(units), units))
    return tuple(ranked[:FREQUENT_SETS])


def _allowed(core: Units, joining: Units) -> Iterator[Units]:
    for size in FREQUENT_SIZES:
        if size >= len(core):
            for more in combinations(joining, size - len(core)):
                yield tuple(sorted((*core, *more)))


def _signed(units: Iterable[int]) -> AUDelta:
    units = tuple(units)
    name = "-".join(map(str, units))
    return AUDelta(**{f"AU{unit}": _change(f"{COMBINATIONS_NAME}:{name}:{unit}") for unit in units})


def _change(seed: str) -> float:
    """A signed strength drawn from the seed's SHA-256."""
    digest = hashlib.sha256(seed.encode()).digest()
    strength = STRENGTHS[int.from_bytes(digest[:8], "big") % len(STRENGTHS)]
    negative = int.from_bytes(digest[8:16], "big") % NEGATIVE_SHARE == 0
    return float(-strength if negative else strength)
