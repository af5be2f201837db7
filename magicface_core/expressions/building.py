"""Changes of expression put together from sliders, named presets and other faces, and their words.

Imports nothing heavy, so that menus can be built from it. Frames are counted from 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ..aus import ACTION_UNITS, ActionUnit, AUDelta, AUVector
from ..errors import AUError
from ..pictures.batches import frame, frame_count
from .presets import NEUTRALISE, load_presets, preset_names

if TYPE_CHECKING:
    from ..perception import AUEstimate

NO_PRESET = "none"
PRESET_NAMES: tuple[str, ...] = (NO_PRESET, *preset_names())
PRECISION = 4
"""Decimals kept of a sum, so that 0.1 + 0.2 - 0.3 is no change at all."""

_REGIONS: dict[str, tuple[int, ...]] = {
    "brows": (1, 2, 4),
    "eyes": (5, 6),
    "mouth": (9, 12, 15, 17, 20, 25, 26),
}
_REGION_OF = {number: region for region, numbers in _REGIONS.items() for number in numbers}
_BAR_WIDTH = 20


def region_of(unit: ActionUnit) -> str:
    """The part of the face a unit belongs to: "brows", "eyes" or "mouth" (with the nose)."""
    return _REGION_OF[unit.number]


@dataclass(frozen=True)
class Gains:
    """How much of a change is kept in each part of the face: 1 all of it, 0 nothing."""

    brows: float = 1.0
    eyes: float = 1.0
    mouth: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not math.isfinite(value):
                raise AUError(f"The gain for {field.name} is {value}; give a finite number.")

    @staticmethod
    def units() -> dict[str, str]:
        """The action units of each part in words, in the order of the fields."""
        return {
            field.name: ", ".join(
                unit.code for unit in ACTION_UNITS if region_of(unit) == field.name
            )
            for field in fields(Gains)
        }

    def apply(self, delta: AUDelta) -> AUDelta:
        """`delta` with each unit multiplied by the gain of its part, saturated at the limits."""
        pairs = zip(ACTION_UNITS, delta.values, strict=True)
        return _saturated(value * getattr(self, region_of(unit)) for unit, value in pairs)


def build_deltas(
    sliders: AUDelta,
    *,
    preset: str = NO_PRESET,
    strength: float = 1.0,
    incoming: Sequence[AUDelta] | None = None,
    source: Sequence[AUEstimate] | None = None,
    target: Sequence[AUEstimate] | None = None,
    gains: Gains | None = None,
) -> tuple[AUDelta, ...]:
    """sliders + strength * preset + incoming + gains * (target - source), frame by frame.

    The preset "neutralise" stands for minus the source's intensities. A frame without a face adds
    no difference. Sums saturate at -10 and 10 once everything is added.

    Args:
        sliders: a change that all frames share.
        preset: one of `PRESET_NAMES`.
        strength: factor of the preset.
        incoming: changes to add to, one for all frames or one for each.
        source: what the face to edit shows, likewise.
        target: what it should show, likewise; needs `source`.
        gains: how much of target - source is copied in each part of the face.

    Returns:
        One delta for each frame.

    Raises:
        AUError: an unknown preset, no source where one is needed, or numbers of frames that do
            not fit together.
    """
    _check_request(preset, source, target)
    inputs = {"delta": incoming, "source AUs": source, "target AUs": target}
    counts = {name: len(values) for name, values in inputs.items() if values is not None}
    shared = [sliders]
    if preset in (presets := load_presets()):
        shared.append(presets[preset].delta * strength)
    built = []
    for index in range(frame_count(counts, AUError)):
        parts = list(shared)
        if incoming is not None:
            parts.append(frame(incoming, index))
        if source is not None and preset == NEUTRALISE:
            parts.append((AUVector() - frame(source, index).intensities) * strength)
        if source is not None and target is not None:
            difference = _difference(frame(target, index), frame(source, index))
            parts.append((gains or Gains()).apply(difference))
        built.append(_total(parts))
    return tuple(built)


def label_frames(deltas: Sequence[AUDelta]) -> str:
    """The changes in words, one line for each frame, numbered where there are several."""
    labels = [rounded(delta).label() for delta in deltas]
    if len(labels) == 1:
        return labels[0]
    return "\n".join(f"{number}: {label}" for number, label in enumerate(labels))


def describe(estimates: Sequence[AUEstimate]) -> str:
    """Estimates as tables for people, each below its frame's number where there are several."""
    tables = [intensity_table(estimate) for estimate in estimates]
    if len(tables) == 1:
        return tables[0]
    return "\n\n".join(f"frame {number}\n{table}" for number, table in enumerate(tables))


def intensity_table(estimate: AUEstimate) -> str:
    """Twelve lines below a heading: code, name, plain words, intensity 0..5, bar, confidence."""
    if not has_face(estimate):
        return "no face"
    lines = [f"{'AU':<5}{'name':<22}{'plain words':<26}{'0-5':>4}  {'':<{_BAR_WIDTH}}  confidence"]
    for unit, intensity, confidence in estimate_rows(estimate):
        bar = "#" * round(intensity / AUVector.maximum * _BAR_WIDTH)
        lines.append(
            f"{unit.code:<5}{unit.name:<22}{unit.plain:<26}{intensity:>4.1f}  "
            f"{bar:<{_BAR_WIDTH}}  {confidence:.2f}"
        )
    return "\n".join(lines)


def estimate_rows(estimate: AUEstimate) -> Iterator[tuple[ActionUnit, float, float]]:
    """Each action unit with its intensity 0..5 and confidence 0..1."""
    return zip(ACTION_UNITS, estimate.intensities.values, estimate.confidence, strict=True)


def has_face(estimate: AUEstimate) -> bool:
    """Whether a face was read at all; a frame passed through without one has no confidence."""
    return any(estimate.confidence)


def rounded(delta: AUDelta, decimals: int = 2) -> AUDelta:
    """`delta` with fewer decimals, for people."""
    return AUDelta.from_values(round(value, decimals) for value in delta.values)


def _check_request(
    preset: str, source: Sequence[AUEstimate] | None, target: Sequence[AUEstimate] | None
) -> None:
    if preset not in PRESET_NAMES:
        raise AUError(f'There is no preset "{preset}"; choose one of {", ".join(PRESET_NAMES)}.')
    if source is None and preset == NEUTRALISE:
        raise AUError(
            f'The preset "{NEUTRALISE}" takes back what the face shows now, so it needs source '
            "AUs: connect an AU Estimate of the face to edit, or choose another preset."
        )
    if source is None and target is not None:
        raise AUError(
            "Target AUs need source AUs, for the change is target minus source: connect an "
            "AU Estimate of the face to edit as source AUs."
        )


def _difference(target: AUEstimate, source: AUEstimate) -> AUDelta:
    both = has_face(target) and has_face(source)
    return target.intensities - source.intensities if both else AUDelta()


def _total(parts: Sequence[AUDelta]) -> AUDelta:
    return _saturated(math.fsum(values) for values in zip(*(p.values for p in parts), strict=True))


def _saturated(values: Iterable[float]) -> AUDelta:
    least, most = AUDelta.minimum, AUDelta.maximum
    return AUDelta.from_values(round(min(max(value, least), most), PRECISION) for value in values)
