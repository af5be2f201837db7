"""What the synthetic protocol asks of every identity: 54 edits, always the same and in one order.

- single: every action unit alone, at +4 and at +2, on a neutral face;
- negative: every action unit taken away, -4, from a face that shows it at 4;
- two: the pairs of `TWO_AU_PAIRS`, both at +4, on a neutral face;
- emotion: the presets of the package (`presets`) at strength 1, on a neutral face.

In the twelve pairs every unit appears exactly twice: a ring of nine neighbours that act together
in the EMFACS prototypes of surprise, happiness, disgust and anger, and one of the three units that
pull the lower face down (15, 17, 20).
"""

from __future__ import annotations

from magicface_core.aus import AU_ORDER, AUDelta, AUVector
from magicface_core.expressions.presets import load_presets

from ..records import FULL_STRENGTH, EditJob

SINGLE_STRENGTHS: tuple[float, ...] = (FULL_STRENGTH, 2.0)
TWO_AU_PAIRS: tuple[tuple[int, int], ...] = (
    *((1, 2), (2, 5), (5, 26), (25, 26), (12, 25), (6, 12), (6, 9), (4, 9), (1, 4)),
    *((15, 17), (17, 20), (15, 20)),
)


def synthetic_jobs() -> tuple[EditJob, ...]:
    """All edits of one identity: singles by strength, negatives, pairs, emotions."""
    return (*_singles(), *_negatives(), *_pairs(), *_emotions())


def _singles() -> list[EditJob]:
    deltas = [
        AUDelta(**{f"AU{unit}": strength}) for strength in SINGLE_STRENGTHS for unit in AU_ORDER
    ]
    return [EditJob(delta.label(), "single", delta) for delta in deltas]


def _negatives() -> list[EditJob]:
    jobs = []
    for unit in AU_ORDER:
        shown = {f"AU{unit}": FULL_STRENGTH}
        delta = -AUDelta(**shown)
        jobs.append(EditJob(delta.label(), "negative", delta, AUVector(**shown)))
    return jobs


def _pairs() -> list[EditJob]:
    deltas = [AUDelta(**{f"AU{unit}": FULL_STRENGTH for unit in pair}) for pair in TWO_AU_PAIRS]
    return [EditJob(delta.label(), "two", delta) for delta in deltas]


def _emotions() -> list[EditJob]:
    return [EditJob(name, "emotion", preset.delta) for name, preset in load_presets().items()]
