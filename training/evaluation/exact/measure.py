"""Edits of one source picture measured against their exact answers, one row per edit.

A protocol supplies cases (a source and the answers to its jobs); this module edits, pastes and
measures them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from magicface_core.pasting.paste import paste_back
from magicface_core.report.background import background_error

from ..conditions import whole_crop
from ..editor import Editor, EditSource
from ..metrics import changed_error, masked_rmse, mixture
from ..records import FULL_STRENGTH, EditJob, EditRecord
from ..sharpness import gradient_energy
from .readings import Reader, identity_between, pose_between, readings

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Case:
    """One source picture and the exact answers ``[jobs,3,R,R]`` to its jobs.

    From exact labels: ``still`` ``[jobs,1,R,R]`` bool is True outside the faces of source and
    answer where the two are equal, ``eyes`` [2,2] the source's eye centres in pixels, image-left
    first.
    """

    source: EditSource
    answers: torch.Tensor
    jobs: tuple[EditJob, ...]
    still: torch.Tensor
    eyes: np.ndarray


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

    def join(self, seconds: Mapping[str, float]) -> None:
        """Adds what another clock has counted."""
        for part, value in seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + value

    def add(self, part: str, started: float) -> None:
        self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - started


def measure_case(
    editor: Editor,
    case: Case,
    reader: Reader,
    clock: Clock | None = None,
) -> CaseResult:
    """Edits one source by all its jobs, pastes edits and floors alike, and measures them."""
    clock = clock or Clock()
    started = time.perf_counter()
    deltas = torch.stack([job.delta.to_tensor() for job in case.jobs])
    picture = case.source.picture
    reference = picture if editor.keeps_detail else None
    edits = paste(case.source, editor.edit(case.source, deltas), reference)
    coded = None if reference is None else editor.reconstruct(case.source.picture)
    floors = paste(case.source, editor.reconstruct(case.answers), coded)
    clock.add("edit", started)
    started = time.perf_counter()
    masked = paste(case.source, case.answers, reference=None)
    records = _measure(case, edits, (floors, masked), reader)
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
    reader: Reader,
) -> tuple[EditRecord, ...]:
    source = case.source
    picture = source.picture
    original = reader.rendered(picture) if source.face is not None else None
    parts = _mixtures(case, edits)
    known = np.array([job.source.values for job in case.jobs])
    regressed = reader.regressed(picture, edits, case.answers, case.eyes, known)
    records = []
    for index, job in enumerate(case.jobs):
        edit, floor, masked, answer = (
            part[index : index + 1] for part in (edits, *floors, case.answers)
        )
        edited, answered = reader.read(edit), reader.rendered(answer)
        record = EditRecord(
            seed=source.seed,
            job=job.name,
            kind=job.kind,
            strength=job.strength,
            edit=changed_error(edit, answer, picture),
            floor=changed_error(floor, answer, picture),
            mask_floor=changed_error(masked, answer, picture),
            background=background_error(edit, picture, source.mask),
            identity=identity_between(original, edited),
            identity_floor=identity_between(original, answered),
            source_detected=source.face is not None,
            edit_detected=edited is not None,
            requested=job.delta.values,
            known=job.source.values,
            aus=readings(original, edited, answered),
            mixture=tuple(parts[index].tolist()),
            energy=gradient_energy(edit, answer, picture),
            still=masked_rmse(edit, answer, case.still[index : index + 1]),
            pose=pose_between(edited, answered),
            pose_floor=pose_between(original, answered),
            regressed=regressed[index],
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
