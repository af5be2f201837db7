"""Edits of one source picture measured against their exact answers, one row per edit.

A protocol supplies cases (a source and the answers to its jobs); this module edits, pastes and
measures them. Rows hold raw sums, so every table, interval and paired comparison is an
aggregation that needs no model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ..aus import AUDelta, AUVector
from ..geometry import paste_back
from .conditions import enlarge, whole_crop
from .editor import Editor, EditSource
from .metrics import (
    BackgroundError,
    ChangedError,
    background_error,
    changed_error,
    identity_distance,
    mixture,
)
from .sharpness import GradientEnergy, gradient_energy

if TYPE_CHECKING:
    from ..perception import Perception

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
class Case:
    """One source picture and the exact answers ``[jobs,3,R,R]`` to its jobs."""

    source: EditSource
    answers: torch.Tensor
    jobs: tuple[EditJob, ...]


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
    how sharp the edit is.
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


@dataclass(frozen=True)
class CaseResult:
    """Records and pasted edits ``[jobs,3,R,R]`` of one case."""

    case: Case
    edits: torch.Tensor
    records: tuple[EditRecord, ...]


@dataclass
class Clock:
    """Seconds spent in each part of a run."""

    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, part: str, started: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - started


def measure_case(
    editor: Editor,
    case: Case,
    perception: Perception,
    clock: Clock | None = None,
) -> CaseResult:
    """Edits one source by all its jobs, pastes edits and floors alike, and measures them."""
    clock = clock or Clock()
    started = time.perf_counter()
    deltas = torch.stack([job.delta.to_tensor() for job in case.jobs])
    reference = editor.detail_reference(case.source)
    edits = paste(case.source, editor.edit(case.source, deltas), reference)
    coded = None if reference is None else editor.reconstruct(case.source.picture)
    floors = paste(case.source, editor.reconstruct(case.answers), coded)
    clock.add("edit", started)
    started = time.perf_counter()
    masked = paste(case.source, case.answers, reference=None)
    records = _measure(case, edits, (floors, masked), perception)
    clock.add("measure", started)
    return CaseResult(case, edits, records)


def paste(source: EditSource, crops: torch.Tensor, reference: torch.Tensor | None) -> torch.Tensor:
    """Model crops ``[B,3,R,R]`` inside the source's mask, the source itself outside, ``[B,3,R,R]``.

    The crop is the whole picture, everything else is what inference does.
    """
    whole = whole_crop(source.picture.shape[-1])
    rows = [
        paste_back(source.picture, crop[None], whole, source.mask, reference=reference)[0]
        for crop in crops
    ]
    return torch.cat(rows)


def _measure(
    case: Case,
    edits: torch.Tensor,
    floors: tuple[torch.Tensor, torch.Tensor],
    perception: Perception,
) -> tuple[EditRecord, ...]:
    source = case.source
    picture = source.picture
    original = _read(picture, perception) if source.face is not None else None
    parts = _mixtures(case, edits)
    records = []
    for index, job in enumerate(case.jobs):
        edit, floor, masked, answer = (
            part[index : index + 1] for part in (edits, *floors, case.answers)
        )
        edited, answered = _read(edit, perception), _read(answer, perception)
        record = EditRecord(
            seed=source.seed,
            job=job.name,
            kind=job.kind,
            strength=job.strength,
            edit=changed_error(edit, answer, picture),
            floor=changed_error(floor, answer, picture),
            mask_floor=changed_error(masked, answer, picture),
            background=background_error(edit, picture, source.mask),
            identity=_distance(original, edited),
            identity_floor=_distance(original, answered),
            source_detected=source.face is not None,
            edit_detected=edited is not None,
            requested=job.delta.values,
            known=job.source.values,
            aus=_readings(original, edited, answered),
            mixture=tuple(parts[index].tolist()),
            energy=gradient_energy(edit, answer, picture),
        )
        records.append(record)
    return tuple(records)


def _mixtures(case: Case, edits: torch.Tensor) -> np.ndarray:
    """What is in each edit of the exact changes of the single jobs at full strength [jobs,K]."""
    singles = [
        index
        for index, job in enumerate(case.jobs)
        if job.kind == "single" and job.strength == FULL_STRENGTH
    ]
    picture = case.source.picture
    return mixture(edits - picture, case.answers[singles] - picture)


@dataclass(frozen=True)
class _Seen:
    """Embedding [128] and estimated intensities [12] of a face."""

    embedding: np.ndarray
    aus: np.ndarray


def _distance(first: _Seen | None, second: _Seen | None) -> float | None:
    if first is None or second is None:
        return None
    return identity_distance(first.embedding, second.embedding)


def _readings(source: _Seen | None, edit: _Seen | None, answer: _Seen | None) -> AUReadings | None:
    if source is None or edit is None or answer is None:
        return None
    return AUReadings(source.aus, edit.aus, answer.aus)


def _read(picture: torch.Tensor, perception: Perception) -> _Seen | None:
    crop = enlarge(picture)
    faces = perception.faces(crop, limit=1)
    if not faces:
        return None
    intensities = perception.estimate_aus(faces[0], crop).intensities
    return _Seen(perception.embed(crop, faces[0]), np.array(intensities.values))


def run_protocol(
    editor: Editor,
    cases: Iterable[Case],
    perception: Perception,
    *,
    clock: Clock | None = None,
    on_result: Callable[[CaseResult], None] | None = None,
) -> tuple[EditRecord, ...]:
    """Measures every case; ``on_result`` sees each one's pictures (progress, contact sheets)."""
    records: list[EditRecord] = []
    for case in cases:
        result = measure_case(editor, case, perception, clock)
        records.extend(result.records)
        if on_result is not None:
            on_result(result)
    return tuple(records)
