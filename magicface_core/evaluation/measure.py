"""Edits of one source picture measured against their exact answers, one row per edit.

A protocol supplies cases (a source and the answers to its jobs); this module edits, pastes and
measures them. Rows hold raw sums, so every table, interval and paired comparison is an
aggregation that needs no model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from ..aus import AUDelta
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

if TYPE_CHECKING:
    from ..perception import Perception

JobKind = Literal["single", "combination"]


@dataclass(frozen=True)
class EditJob:
    """One edit of every source picture: its name in the tables, its kind and its delta."""

    name: str
    kind: JobKind
    delta: AUDelta


@dataclass(frozen=True)
class Case:
    """One identity: its source and the exact answers ``[jobs,3,R,R]``, in the order of the jobs."""

    source: EditSource
    answers: torch.Tensor


@dataclass(frozen=True)
class EditRecord:
    """The raw measurements of one edit; every table is an aggregation of these rows.

    ``edit`` is the pasted edit's error; ``floor`` that of the autoencoder's round trip of the exact
    answer, pasted alike; ``mask_floor`` that of the exact answer itself, pasted alike: what moves
    outside the mask. ``identity`` is the embedding distance of edit and source, ``identity_floor``
    that of answer and source (an expression alone moves the embedding), each None where one of
    the two has no detectable face. ``aus`` are the embedded estimator's readings. ``mixture`` says
    how much of each single job's exact change is in the edit, in the order of those jobs (see
    `metrics.mixture`).
    """

    seed: int
    job: str
    kind: JobKind
    edit: ChangedError
    floor: ChangedError
    mask_floor: ChangedError
    background: BackgroundError
    identity: float | None
    identity_floor: float | None
    source_detected: bool
    edit_detected: bool
    requested: tuple[float, ...] = ()
    aus: AUReadings | None = None
    mixture: tuple[float, ...] = ()


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
    jobs: Sequence[EditJob],
    perception: Perception,
    clock: Clock | None = None,
) -> CaseResult:
    """Edits one source by all jobs, pastes edits and floors alike, and measures them."""
    clock = clock or Clock()
    started = time.perf_counter()
    deltas = torch.stack([job.delta.to_tensor() for job in jobs])
    reference = editor.detail_reference(case.source)
    edits = paste(case.source, editor.edit(case.source, deltas), reference)
    coded = None if reference is None else editor.reconstruct(case.source.picture)
    floors = paste(case.source, editor.reconstruct(case.answers), coded)
    clock.add("edit", started)
    started = time.perf_counter()
    masked = paste(case.source, case.answers, reference=None)
    records = _measure(case, jobs, edits, (floors, masked), perception)
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
    jobs: Sequence[EditJob],
    edits: torch.Tensor,
    floors: tuple[torch.Tensor, torch.Tensor],
    perception: Perception,
) -> tuple[EditRecord, ...]:
    source = case.source
    picture = source.picture
    original = _read(picture, perception) if source.face is not None else None
    singles = [index for index, job in enumerate(jobs) if job.kind == "single"]
    parts = mixture(edits - picture, case.answers[singles] - picture)
    records = []
    for index, job in enumerate(jobs):
        edit, floor, masked, answer = (
            part[index : index + 1] for part in (edits, *floors, case.answers)
        )
        edited, answered = _read(edit, perception), _read(answer, perception)
        record = EditRecord(
            seed=source.seed,
            job=job.name,
            kind=job.kind,
            edit=changed_error(edit, answer, picture),
            floor=changed_error(floor, answer, picture),
            mask_floor=changed_error(masked, answer, picture),
            background=background_error(edit, picture, source.mask),
            identity=_distance(original, edited),
            identity_floor=_distance(original, answered),
            source_detected=source.face is not None,
            edit_detected=edited is not None,
            requested=job.delta.values,
            aus=_readings(original, edited, answered),
            mixture=tuple(parts[index].tolist()),
        )
        records.append(record)
    return tuple(records)


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
    jobs: Sequence[EditJob],
    perception: Perception,
    *,
    clock: Clock | None = None,
    on_result: Callable[[CaseResult], None] | None = None,
) -> tuple[EditRecord, ...]:
    """Measures every case; ``on_result`` sees each one's pictures (progress, contact sheets)."""
    records: list[EditRecord] = []
    for case in cases:
        result = measure_case(editor, case, jobs, perception, clock)
        records.extend(result.records)
        if on_result is not None:
            on_result(result)
    return tuple(records)
