"""The rows of one identity: floors and edits, measured while the model makes the next ones."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import torch

from magicface_core.aus import AU_ORDER
from magicface_core.pictures.images import to_tensor
from magicface_core.report.background import background_error

from ..editor import Editor
from ..identities import PreparedIdentity
from ..metrics import identity_distance
from ..provenance import versions
from ..records import EditJob
from .instruments import InstrumentChoice, Reading, loaded
from .renderings import FLOORS, Measured, edit_pictures, floor_pictures, original
from .rows import EditRow, Numbers, RowKind

NO_CHANGE = (0.0,) * len(AU_ORDER)
WAITING = 64
"""Pictures handed to worker processes ahead of their results."""


@dataclass(frozen=True)
class Measuring:
    """How edits are measured.

    choice    the instruments
    measured  which picture (see `renderings`)
    executor  worker processes that measure while the model edits; None to take turns
    """

    choice: InstrumentChoice = field(default_factory=InstrumentChoice)
    measured: Measured = "crop"
    executor: Executor | None = None


@dataclass(frozen=True)
class Measurement:
    """What one picture says, and its difference to the source outside both faces."""

    reading: Reading
    background: float | None


def identity_rows(
    editor: Editor,
    subject: PreparedIdentity,
    jobs: Sequence[EditJob],
    measuring: Measuring,
    on_edit: Callable[[], None] | None = None,
) -> tuple[EditRow, ...]:
    """The floors, then the edits in the order of the jobs.

    An identity without a face gives rows without measurements, so that it is counted.
    """
    wanted: list[tuple[str, RowKind, Numbers]] = [(name, "floor", NO_CHANGE) for name in FLOORS]
    wanted += [(job.name, job.kind, job.delta.values) for job in jobs]
    make_row = _RowMaker(subject, measuring.choice)
    if subject.source is None or subject.prepared is None:
        nothing = Reading(face=False)
        return tuple(make_row(*what, nothing, Measurement(nothing, None)) for what in wanted)
    compared = original(subject.prepared, measuring.measured)
    reading = loaded(measuring.choice).read(to_tensor(compared))
    pictures = chain(
        floor_pictures(editor, subject, measuring.measured),
        edit_pictures(editor, subject, jobs, measuring.measured),
    )
    results = _measured(compared, reading, pictures, measuring)
    rows = []
    for what, result in zip(wanted, results, strict=True):
        rows.append(make_row(*what, reading, result))
        if on_edit is not None and what[1] != "floor":
            on_edit()
    return tuple(rows)


def measure_picture(
    choice: InstrumentChoice,
    compared: np.ndarray,
    source: Reading,
    picture: np.ndarray,
) -> Measurement:
    """One picture against its source, both [512,512,3] uint8; runs in worker processes too."""
    tensor = to_tensor(picture)
    reading = loaded(choice).read(tensor)
    mask = torch.zeros(1, 1, *tensor.shape[-2:])
    for face_mask in (source.face_mask, reading.face_mask):
        if face_mask is not None:
            mask = torch.maximum(mask, torch.from_numpy(face_mask).float())
    error = background_error(tensor, to_tensor(compared), mask).rmse
    return Measurement(reading, error if np.isfinite(error) else None)


def _measured(
    compared: np.ndarray, source: Reading, pictures: Iterable[np.ndarray], measuring: Measuring
) -> Iterator[Measurement]:
    fixed = (measuring.choice, compared, source)
    if measuring.executor is None:
        yield from (measure_picture(*fixed, picture) for picture in pictures)
        return
    waiting: deque[Future[Measurement]] = deque()
    for picture in pictures:
        waiting.append(measuring.executor.submit(measure_picture, *fixed, picture))
        if len(waiting) > WAITING:
            yield waiting.popleft().result()
    for future in waiting:
        yield future.result()


class _RowMaker:
    """Rows of one identity under one choice of instruments."""

    def __init__(self, subject: PreparedIdentity, choice: InstrumentChoice) -> None:
        self.identity, self.choice = subject.identity, choice
        self.versions = json.dumps(versions(), sort_keys=True)

    def __call__(
        self, job: str, kind: RowKind, requested: Numbers, source: Reading, result: Measurement
    ) -> EditRow:
        edit = result.reading
        both = source.embedding is not None and edit.embedding is not None
        return EditRow(
            identity=self.identity.name,
            identity_sha256=self.identity.sha256,
            identity_kind=self.identity.kind,
            job=job,
            kind=kind,
            requested=requested,
            source_aus=_numbers(source.aus),
            edit_aus=_numbers(edit.aus),
            identity_distance=_distance(source, edit) if both else None,
            background_rmse=result.background,
            source_pose=_numbers(source.pose),
            edit_pose=_numbers(edit.pose),
            source_face=source.face,
            edit_face=edit.face,
            source_embedded=source.embedding is not None,
            au_estimator=self.choice.au_estimator,
            identity_embedding=self.choice.identity,
            parser=self.choice.parser,
            versions=self.versions,
        )


def _distance(source: Reading, edit: Reading) -> float:
    assert source.embedding is not None and edit.embedding is not None
    return identity_distance(source.embedding, edit.embedding)


def _numbers(values: np.ndarray | None) -> Numbers | None:
    return None if values is None else tuple(float(value) for value in values)
