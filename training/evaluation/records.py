"""What the synthetic protocol asks for, and the raw row that it keeps of each edit.

Rows hold raw sums, so every table, interval and paired comparison is an aggregation that needs no
model.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from magicface_core.aus import AUDelta, AUVector
from magicface_core.errors import MagicFaceError
from magicface_core.report.background import BackgroundError

from .metrics import ChangedError
from .sharpness import GradientEnergy

JobKind = Literal["single", "negative", "two", "emotion", "combination"]
FULL_STRENGTH = 4.0
"""Strength of the single edits that responses are taken apart by."""


@dataclass(frozen=True)
class EditJob:
    """One edit: its name in the tables, its kind, its delta, and the expression it starts from."""

    name: str
    kind: JobKind
    delta: AUDelta
    source: AUVector = field(default_factory=AUVector)

    @property
    def strength(self) -> float:
        """The signed change of the unit that changes most."""
        return max(self.delta.values, key=abs)

    @property
    def target(self) -> AUVector:
        """The intensities that the exact answer shows."""
        return self.source + self.delta


@dataclass(frozen=True)
class EditRecord:
    """The raw measurements of one edit; every table is an aggregation of these rows.

    ``requested`` is the change asked for and ``known`` what the source truly shows, [12] each.
    ``edit`` is the pasted edit's error; ``floor`` that of the autoencoder's round trip of the exact
    answer, pasted alike; ``mask_floor`` that of the exact answer itself, pasted alike: what moves
    outside the mask. ``identity`` is the embedding distance of edit and source, ``identity_floor``
    that of answer and source (an expression alone moves the embedding), each None where one of
    the two has no detectable face. ``aus`` are the embedded estimator's readings. ``mixture`` says
    how much of the exact change of each single job at full strength is in the edit, in the order of
    those jobs (see `metrics.mixture`); empty where the source has no such jobs. ``energy`` tells
    how sharp the edit is. ``still`` is the root mean square error to the answer over pixels outside
    the face that the answer leaves alone (NaN without any). ``pose`` and ``pose_floor`` are the
    root mean square over yaw, pitch and roll, in degrees, between the mesh of the answer and that
    of edit and source: the floor is what the expression alone does to the mesh. ``regressed`` are
    the readings of the regressor trained on exact labels (`au_regressor`).
    """

    seed: int
    job: str
    kind: JobKind
    strength: float
    edit: ChangedError
    floor: ChangedError
    mask_floor: ChangedError
    background: BackgroundError
    identity: float | None
    identity_floor: float | None
    source_detected: bool
    edit_detected: bool
    requested: tuple[float, ...] = ()
    known: tuple[float, ...] = AUVector().values
    aus: AUReadings | None = None
    mixture: tuple[float, ...] = ()
    energy: GradientEnergy = field(default_factory=GradientEnergy)
    still: float = math.nan
    pose: float | None = None
    pose_floor: float | None = None
    regressed: AUReadings | None = None

    @property
    def unit(self) -> str:
        """The unit that changes, as "AU12", or all that do, as "AU6 AU12"."""
        return " ".join(AUDelta.from_values(self.requested).as_dict())

    @property
    def target(self) -> np.ndarray:
        """Intensities [12] of the exact answer: clip(known + requested, 0, 5)."""
        return np.clip(np.add(self.known, self.requested), AUVector.minimum, AUVector.maximum)


@dataclass(frozen=True)
class AUReadings:
    """Estimated intensities [12] of source, edit and exact answer, all three with a face."""

    source: np.ndarray
    edit: np.ndarray
    answer: np.ndarray


def record_as_dict(record: EditRecord) -> dict[str, Any]:
    """Plain values, from which `record_from_dict` makes the same record."""
    values = asdict(record)
    for name in ("aus", "regressed"):
        if values[name] is not None:
            values[name] = {part: array.tolist() for part, array in values[name].items()}
    return values


def record_from_dict(values: Mapping[str, Any]) -> EditRecord:
    """Raises KeyError or TypeError where something is missing or too much."""
    whole = dict(values)
    for name in ("edit", "floor", "mask_floor"):
        whole[name] = ChangedError(**whole[name])
    whole["background"] = BackgroundError(**whole["background"])
    whole["energy"] = GradientEnergy(**whole["energy"])
    for name in ("requested", "known", "mixture"):
        whole[name] = tuple(whole[name])
    for name in ("aus", "regressed"):
        if whole[name] is not None:
            arrays = {part: np.array(numbers) for part, numbers in whole[name].items()}
            whole[name] = AUReadings(**arrays)
    return EditRecord(**whole)


class EvaluationError(MagicFaceError):
    """An evaluation asked for what cannot be run, resumed or compared."""
