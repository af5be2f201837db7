"""Rows as columns of numbers, and the four scores of every edit.

Definitions (the paper leaves them open, so they are printed with every table):

- AU error: mean over the twelve units of (measured - target)^2, target = clip(source + delta, 0, 5)
  with the source as measured.
- identity: L2 distance of the embeddings of source and edit.
- background: root mean square difference in 0..1 outside the faces of both pictures.
- head pose: root mean square over yaw, pitch and roll, in degrees.

A score of a run is the mean over its edits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from magicface_core.aus import AU_ORDER, AUVector

from ..metrics import pose_distance
from ..records import EvaluationError
from .rows import EditRow, Numbers

SCORES = ("au", "identity", "background", "pose")
WORST_IDENTITY = 1.0
"""Distance that counts where the edit has no embedding: strangers are 0.6 to 1 apart."""
WORST_POSE = 45.0
"""Degrees that count where the edit has no face: how far the pose instrument is checked."""
DEFINITIONS: dict[str, str] = {
    "AU MSE": "mean over 12 AUs of (measured - target)^2, target = clip(source + delta, 0, 5), "
    "source as measured",
    "identity L2": "distance of the embeddings of source and edit",
    "background RMSE": "in 0..1, with the faces of source and edit masked",
    "head pose RMSE": "over yaw, pitch and roll in degrees, from the face mesh",
    "all columns": "per edit, then the mean over edits; lower is better",
    "worst case": "an edit without a detected face counts as the worst: every AU as far off as the "
    f"scale allows, identity {WORST_IDENTITY:g}, head pose {WORST_POSE:g} degrees; elsewhere such "
    "edits are left out",
    "in brackets": "95 % percentile bootstrap, whole identities resampled",
}


@dataclass(frozen=True)
class EditTable:
    """n edits of P people, in the order of their rows.

    people      [P] names and hashes of the pictures
    person      [n] index into people
    jobs        [n] names
    requested   [n,12] changes asked for
    source_aus, edit_aus  [n,12], NaN without a face
    identity, background, pose  [n], NaN where unknown
    source_face, edit_face, source_embedded  [n] bool
    """

    people: tuple[tuple[str, str], ...]
    person: np.ndarray
    jobs: tuple[str, ...]
    requested: np.ndarray
    source_aus: np.ndarray
    edit_aus: np.ndarray
    identity: np.ndarray
    background: np.ndarray
    pose: np.ndarray
    source_face: np.ndarray
    edit_face: np.ndarray
    source_embedded: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[EditRow]) -> EditTable:
        """The table of some rows; people in order of appearance."""
        rows = list(rows)
        places = {key: place for place, key in enumerate(dict.fromkeys(map(_person, rows)))}
        return cls(
            people=tuple(places),
            person=np.array([places[_person(row)] for row in rows], int),
            jobs=tuple(row.job for row in rows),
            requested=np.array([row.requested for row in rows], float).reshape(-1, len(AU_ORDER)),
            source_aus=_stacked(row.source_aus for row in rows),
            edit_aus=_stacked(row.edit_aus for row in rows),
            identity=_column(row.identity_distance for row in rows),
            background=_column(row.background_rmse for row in rows),
            pose=_column(_turned(row.source_pose, row.edit_pose) for row in rows),
            source_face=np.array([row.source_face for row in rows], bool),
            edit_face=np.array([row.edit_face for row in rows], bool),
            source_embedded=np.array([row.source_embedded for row in rows], bool),
        )

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def targets(self) -> np.ndarray:
        """[n,12] intensities asked for: clip(source + requested, 0, 5)."""
        return np.clip(self.source_aus + self.requested, AUVector.minimum, AUVector.maximum)

    @property
    def changed_units(self) -> np.ndarray:
        """[n] how many units an edit changes."""
        return np.count_nonzero(self.requested, axis=1)

    def chosen(self, which: np.ndarray) -> EditTable:
        """Some of the edits (indices or booleans), of all people."""
        places = np.arange(len(self))[which]
        columns = {
            name: value[places]
            for name, value in vars(self).items()
            if isinstance(value, np.ndarray)
        }
        return replace(self, jobs=tuple(self.jobs[place] for place in places), **columns)

    def scores(self, *, worst: bool = False) -> np.ndarray:
        """[n,4] in the order of `SCORES`, NaN where unknown.

        With `worst`, an edit without a face has the worst scores (see `DEFINITIONS`); sources
        without a face stay NaN, for no editor is to blame.
        """
        au = np.square(self.edit_aus - self.targets).mean(1)
        identity, pose = self.identity, self.pose
        if worst:
            farthest = np.maximum(self.targets, AUVector.maximum - self.targets)
            au = np.where(self.edit_face, au, np.square(farthest).mean(1))
            lost = self.source_embedded & ~np.isfinite(identity)
            identity = np.where(lost, WORST_IDENTITY, identity)
            pose = np.where(self.source_face & ~self.edit_face, WORST_POSE, pose)
        return np.stack([au, identity, self.background, pose], 1)


def floor_tables(edits: EditTable, floors: Iterable[EditRow]) -> dict[str, EditTable]:
    """For each floor, the edits' table as if every edit of a person had given that picture.

    Raises:
        EvaluationError: a floor lacks a person.
    """
    found: dict[str, list[EditRow]] = {}
    for row in floors:
        found.setdefault(row.job, []).append(row)
    tables = {}
    for name, rows in found.items():
        floor = EditTable.of(rows)
        if set(floor.people) != set(edits.people) or len(floor) != len(edits.people):
            raise EvaluationError(f'The floor "{name}" is not there for every identity.')
        order = np.array([floor.people.index(person) for person in edits.people])
        spread = floor.chosen(order[edits.person])
        tables[name] = replace(
            spread, people=edits.people, person=edits.person, requested=edits.requested
        )
    return tables


def _person(row: EditRow) -> tuple[str, str]:
    return row.identity, row.identity_sha256


def _stacked(values: Iterable[Numbers | None]) -> np.ndarray:
    unknown = (math.nan,) * len(AU_ORDER)
    return np.array([value or unknown for value in values], float).reshape(-1, len(AU_ORDER))


def _column(values: Iterable[float | None]) -> np.ndarray:
    return np.array([math.nan if value is None else value for value in values], float)


def _turned(source: Numbers | None, edit: Numbers | None) -> float | None:
    """Root mean square of the angles between two poses, in degrees."""
    if source is None or edit is None:
        return None
    return pose_distance(np.asarray(source), np.asarray(edit))
