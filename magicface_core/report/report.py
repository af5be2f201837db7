"""What an edit reached of what was asked for, and what it cost: identity and background."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from torch import Tensor

from ..aus import ACTION_UNITS, AUDelta
from ..drawing.text import as_picture, contained
from ..errors import ImageError
from ..expressions.building import rounded
from ..perception.identity import identity_distance
from ..perception.placing import crop_for_face
from ..pictures.batches import frame, frame_count
from .background import BackgroundError, background_error
from .charts import PORTRAIT_SIZE, edit_charts
from .findings import FrameReport, findings

if TYPE_CHECKING:
    from ..perception import AUEstimate, Face, Perception

FORMAT, VERSION = "magicface-report", 1

ELSEWHERE = 0.5
"""A face further from its place before the edit than this share of its width is another one."""


@dataclass(frozen=True)
class ExpressionReportResult:
    """The report on all frames, and a chart [N,3,h,w] float 0..1 of each."""

    frames: tuple[FrameReport, ...]
    charts: Tensor

    def to_json(self) -> str:
        """One readable JSON object; frames are numbered from 0, unknown numbers are null."""
        frames = [_as_json(number, entry) for number, entry in enumerate(self.frames)]
        content = {"format": FORMAT, "version": VERSION, "frames": frames}
        return json.dumps(content, indent=2, allow_nan=False)


def report_frames(
    original: Tensor,
    edited: Tensor,
    deltas: Sequence[AUDelta],
    perception: Perception,
    mask: Tensor | None = None,
) -> ExpressionReportResult:
    """Compare edited pictures with their originals.

    The face is the one that the mask covers most, or else the largest. A face that cannot be found
    is reported, not raised.

    Args:
        original: [1 or N,3,H,W] float 0..1.
        edited: [1 or N,3,H,W], of the same size.
        deltas: what was asked for, one or N.
        perception: reads faces, action units and identities.
        mask: [1 or N,1,H,W], above 0 where the edit may differ.

    Returns:
        N reports, N being the largest of the four numbers of frames.

    Raises:
        ImageError: sizes or numbers of frames that do not fit together.
    """
    inputs = {"original": original, "edited": edited, "delta": deltas, "mask": mask}
    counts = {name: len(frames) for name, frames in inputs.items() if frames is not None}
    count = frame_count(counts, ImageError)
    _check_sizes(original, edited, mask)
    frames, portraits = [], []
    before: _Seen | None = None
    for index in range(count):
        region = None if mask is None else _row(mask, index)
        if before is None or len(original) > 1 or (mask is not None and len(mask) > 1):
            before = _look(_row(original, index), perception, region=region)
        after = _look(_row(edited, index), perception, near=before)
        frames.append(_measure(before, after, frame(deltas, index), region))
        portraits.append((_portrait(before.picture, before), _portrait(after.picture, before)))
    return ExpressionReportResult(tuple(frames), edit_charts(frames, portraits))


@dataclass(frozen=True)
class _Seen:
    """A picture [1,3,H,W], its face if there is one, and what is read from that."""

    picture: Tensor
    face: Face | None = None
    estimate: AUEstimate | None = None
    embedding: np.ndarray | None = None


def _look(
    picture: Tensor,
    perception: Perception,
    *,
    region: Tensor | None = None,
    near: _Seen | None = None,
) -> _Seen:
    """The face where the edit was (`region`), or at the place of an earlier one (`near`)."""
    if near is not None and near.face is None:
        return _Seen(picture)
    faces = perception.faces(picture)
    if near is not None and near.face is not None:
        face = _nearest(faces, near.face)
    else:
        face = max(faces, key=lambda found: (_covered(found, region), found.width), default=None)
    if face is None:
        return _Seen(picture)
    estimate = perception.estimate_aus(face, picture)
    return _Seen(picture, face, estimate, perception.embed(picture, face))


def _nearest(faces: Sequence[Face], place: Face) -> Face | None:
    def distance(face: Face) -> float:
        return float(np.linalg.norm(face.points5 - place.points5, axis=1).mean())

    face = min(faces, key=distance, default=None)
    return face if face is not None and distance(face) < ELSEWHERE * place.width else None


def _covered(face: Face, region: Tensor | None) -> float:
    """How much of the face's box lies in the region, 0..1; 0 without one."""
    if region is None:
        return 0.0
    x1, y1, x2, y2 = (max(round(float(edge)), 0) for edge in face.box)
    inside = region[..., y1 : y2 + 1, x1 : x2 + 1]
    return float(inside.mean()) if inside.numel() else 0.0


def _measure(before: _Seen, after: _Seen, requested: AUDelta, region: Tensor | None) -> FrameReport:
    background = _background(before.picture, after.picture, region)
    if before.estimate is None or before.embedding is None:
        problem = "no face found in the original"
    elif after.estimate is None or after.embedding is None:
        problem = "no face found in its place in the edited picture"
    else:
        pairs = zip(before.estimate.confidence, after.estimate.confidence, strict=True)
        return FrameReport(
            requested=requested,
            achieved=rounded(after.estimate.intensities - before.estimate.intensities),
            confidence=tuple(min(pair) for pair in pairs),
            identity=identity_distance(before.embedding, after.embedding),
            background=background,
        )
    return FrameReport(requested, None, (0.0,) * len(ACTION_UNITS), None, background, problem)


def _background(original: Tensor, edited: Tensor, region: Tensor | None) -> BackgroundError | None:
    if region is None or not bool((region == 0).any()):
        return None
    return background_error(edited, original, region)


def _portrait(picture: Tensor, before: _Seen) -> Image.Image:
    """The surroundings of the original's face in either picture, or the whole picture."""
    if before.face is None:
        return contained(as_picture(picture), (PORTRAIT_SIZE, PORTRAIT_SIZE))
    height, width = picture.shape[-2:]
    crop = crop_for_face(before.face, (width, height))
    return as_picture(crop.extract(picture, PORTRAIT_SIZE))


def _row(frames: Tensor, index: int) -> Tensor:
    """Frame `index` as a batch of one, of a batch that has one for all frames or one for each."""
    return frames if len(frames) == 1 else frames[index : index + 1]


def _check_sizes(original: Tensor, edited: Tensor, mask: Tensor | None) -> None:
    height, width = original.shape[-2:]
    for name, other in (("edited picture", edited), ("mask", mask)):
        if other is not None and other.shape[-2:] != original.shape[-2:]:
            raise ImageError(
                f"The original is {width} x {height} pixels and the {name} "
                f"{other.shape[-1]} x {other.shape[-2]}: connect pictures and a mask of one size, "
                "both of the crop or both of the whole picture."
            )


def _as_json(number: int, report: FrameReport) -> dict[str, Any]:
    background = report.background
    achieved = report.achieved.values if report.achieved else (None,) * len(ACTION_UNITS)
    rows = zip(ACTION_UNITS, report.requested.values, achieved, report.confidence, strict=True)
    return {
        "frame": number,
        "findings": findings(report),
        "aus": [
            {
                "au": unit.code,
                "name": unit.name,
                "requested": requested,
                "achieved": reached,
                "confidence": confidence,
            }
            for unit, requested, reached, confidence in rows
        ],
        "identity_distance": _rounded(report.identity),
        "same_person": report.same_person,
        "background_rmse": _rounded(background.rmse if background else None),
        "background_largest": _rounded(background.largest if background else None),
        "problem": report.problem,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")
