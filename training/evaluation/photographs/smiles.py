"""Edits of photographs against the expression that the person really made.

Of each person there are two photographs, neutral and smiling. The delta is what the estimator reads
in one less what it reads in the other; the edit of one is measured against the other, which is
brought onto it by the bony part of the face. Everything is relative to doing nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from magicface_core.aus import AUDelta
from magicface_core.editing.results import pasted
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.perception import Perception
from magicface_core.pictures.affine import apply_affine, invert_affine, umeyama_similarity
from magicface_core.pictures.images import to_tensor
from magicface_core.pictures.resampling import WORKING_SIZE, resample

from ..editor import Editor, EditSource
from ..intervals import Estimate
from ..metrics import median_interval
from ..records import EvaluationError
from .face_areas import (
    BONY,
    EXPRESSIVE,
    OUTER_LIPS,
    largest_colour,
    lower_face,
    mouth_energy,
    polygon,
    shows_teeth,
    strange_colours,
)

PAIR = re.compile(r"(?P<person>.+)_(?P<face>neutral|smiling)\.[a-z]+$", re.IGNORECASE)
FACES = ("neutral", "smiling")
DIRECTIONS = {"smile": FACES, "back": FACES[::-1]}
"""Names of the two edits of a pair: from which photograph to which."""
MEASURES: dict[str, str] = {
    "points": "distance of lip, eye and cheek points to the real ones, over doing nothing",
    "lower": "mean absolute error in the lower face, over doing nothing",
    "energy": "gradient energy inside the lips, over the real one's",
    "identity": "identity distance of edit and source",
    "real_identity": "identity distance of the two photographs",
    "teeth": "share that show a row of teeth, of those whose real faces do",
    "strange": "share of the opened mouth with hues that the face does not have",
    "grey": "largest colour in the edit of the photograph without colours (0 to 1)",
}
MEDIANS = tuple(name for name in MEASURES if name != "teeth")


@dataclass(frozen=True)
class SmileRow:
    """One edit of one person; NaN and None where it could not be measured. See `MEASURES`."""

    person: str
    direction: str
    points: float = math.nan
    lower: float = math.nan
    energy: float = math.nan
    identity: float = math.nan
    real_identity: float = math.nan
    teeth: bool | None = None
    real_teeth: bool | None = None
    strange: float = math.nan
    grey: float = math.nan


def smile_pairs(folder: Path, count: int | None = None) -> dict[str, dict[str, Path]]:
    """Files of each person, by `FACES`, of the first ``count`` people (default: all).

    Raises:
        EvaluationError: no such folder, or too few pairs in it.
    """
    if not folder.is_dir():
        raise EvaluationError(f'"{folder}" is not a folder; --pictures wants one with pairs.')
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(folder.iterdir()):
        named = PAIR.match(path.name)
        if named:
            found.setdefault(named["person"], {})[named["face"].lower()] = path
    pairs = {person: files for person, files in found.items() if len(files) == len(FACES)}
    if len(pairs) < (count or 1):
        raise EvaluationError(
            f'"{folder}" holds {len(pairs)} pairs NAME_neutral, NAME_smiling; '
            f"at least {count or 1} needed."
        )
    return dict(list(pairs.items())[:count])


def measure_pair(
    editor: Editor, perception: Perception, person: str, pictures: Mapping[str, Image.Image]
) -> Iterator[SmileRow]:
    """Both edits of one person. Raises NoFaceError where a photograph shows none."""
    prepared = {
        name: prepare(picture, perception, editor.framing) for name, picture in pictures.items()
    }
    aus = {
        name: perception.estimate_aus(each.face, each.crop512).intensities
        for name, each in prepared.items()
    }
    for direction, (before, after) in DIRECTIONS.items():
        delta = aus[after] - aus[before]
        yield _measured(
            editor,
            perception,
            SmileRow(person, direction),
            prepared[before],
            prepared[after],
            delta,
        )


def edited_crop(
    editor: Editor, prepared: Prepared, delta: AUDelta, grey: bool = False
) -> torch.Tensor:
    """What a user gets of an edit, [1,3,512,512] in 0..1; ``grey``: of the picture's brightness."""

    def shown(picture: torch.Tensor) -> torch.Tensor:
        return picture.mean(1, keepdim=True).expand(-1, 3, -1, -1) if grey else picture

    source = EditSource(
        0,
        shown(prepared.model_input),
        shown(prepared.condition),
        prepared.background.mask,
        prepared.face,
        shown(prepared.crop512),
    )
    crop = editor.edit(source, delta.to_tensor()[None])
    if grey:
        return crop
    result = pasted(prepared, crop, delta)
    return to_tensor(result.crop)


def _measured(
    editor: Editor,
    perception: Perception,
    row: SmileRow,
    source: Prepared,
    real: Prepared,
    delta: AUDelta,
) -> SmileRow:
    edit = edited_crop(editor, source, delta)
    faces = perception.faces(edit, limit=1)
    if not faces:
        return row
    aligned, target = _onto(real.crop512, real.face.mesh, source.face.mesh)
    edited = apply_affine(
        umeyama_similarity(_bony(faces[0].mesh), _bony(source.face.mesh)), faces[0].mesh[:, :2]
    )
    area = lower_face(source.face.mesh, WORKING_SIZE)
    mouth = polygon(target[list(OUTER_LIPS)], WORKING_SIZE)
    own, theirs, made = (
        perception.embed(picture, face)
        for picture, face in (
            (source.crop512, source.face),
            (real.crop512, real.face),
            (edit, faces[0]),
        )
    )
    return SmileRow(
        row.person,
        row.direction,
        points=_distance(edited, target) / _distance(source.face.mesh[:, :2], target),
        lower=_error(edit, aligned, area) / _error(source.crop512, aligned, area),
        energy=mouth_energy(edit, mouth) / mouth_energy(aligned, mouth),
        identity=perception.identity_distance(own, made),
        real_identity=perception.identity_distance(own, theirs),
        teeth=shows_teeth(edit, faces[0].mesh),
        real_teeth=shows_teeth(real.crop512, real.face.mesh),
        strange=strange_colours(edit, source.crop512, faces[0].mesh),
        grey=largest_colour(edited_crop(editor, source, delta, grey=True)),
    )


def _onto(
    picture: torch.Tensor, mesh: np.ndarray, onto: np.ndarray
) -> tuple[torch.Tensor, np.ndarray]:
    """A picture [1,3,S,S] and its mesh points [478,2], brought onto another mesh."""
    fit = umeyama_similarity(_bony(mesh), _bony(onto))
    size = picture.shape[-1]
    moved = resample(picture, invert_affine(fit), (size, size)).clamp(0, 1)
    return moved, apply_affine(fit, mesh[:, :2])


def _bony(mesh: np.ndarray) -> np.ndarray:
    points: np.ndarray = mesh[list(BONY), :2]
    return points


def _distance(points: np.ndarray, others: np.ndarray) -> float:
    """Mean distance of the points that a smile moves."""
    apart = points[list(EXPRESSIVE)] - others[list(EXPRESSIVE)]
    return float(np.linalg.norm(apart, axis=1).mean())


def _error(picture: torch.Tensor, other: torch.Tensor, area: np.ndarray) -> float:
    return float((picture - other).abs().mean(1)[0].numpy()[area].mean())


def summarise_smiles(rows: Sequence[SmileRow]) -> dict[str, dict[str, Estimate]]:
    """Medians over people with 95 % intervals, and shares, of each direction."""
    return {
        direction: _summary([row for row in rows if row.direction == direction])
        for direction in DIRECTIONS
    }


def _summary(rows: Sequence[SmileRow]) -> dict[str, Estimate]:
    found: dict[str, Estimate] = {}
    for name in MEDIANS:
        values = np.array([[getattr(row, name)] for row in rows], float)
        known = values[np.isfinite(values)]
        middle = float(np.median(known)) if known.size else math.nan
        found[name] = Estimate(middle, *median_interval(values), int(known.size))
    shown = [row.teeth for row in rows if row.real_teeth and row.teeth is not None]
    share = float(np.mean(shown)) if shown else math.nan
    found["teeth"] = Estimate(share, count=len(shown))
    return found
