"""Edits of single photographs of any kind: every action unit, the named expressions, a sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torch.nn import functional as F

from magicface_core.aus import AU_ORDER, AUDelta
from magicface_core.drawing.sheets import Tile, labelled_sheet
from magicface_core.expressions.presets import load_presets
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.perception import Perception
from magicface_core.pictures.images import to_uint8

from ..editor import Editor
from ..identities import Identity
from ..intervals import Estimate
from ..metrics import median_interval
from ..records import FULL_STRENGTH, EditJob
from .smiles import edited_crop

SEAM = 3
"""Pixels inside the edge of the pasted region in which a seam would show."""
TILE = 224
MEASURES: dict[str, str] = {
    "identity": "identity distance of edit and source",
    "achieved": "change that the estimator reads of the units asked for, per unit asked",
    "seam": "mean absolute change just inside the edge of the pasted region (0 to 1)",
}


@dataclass(frozen=True)
class WildRow:
    """One edit of one picture; NaN where no face was found in the edit. See `MEASURES`."""

    person: str
    job: str
    identity: float = math.nan
    achieved: float = math.nan
    seam: float = math.nan


def wild_jobs() -> tuple[EditJob, ...]:
    """Every action unit at +4, a mouth wide open, a mouth that closes, the named expressions."""
    singles = {f"AU{number}": AUDelta(**{f"AU{number}": FULL_STRENGTH}) for number in AU_ORDER}
    mouths = {
        "AU25+26": AUDelta(AU25=FULL_STRENGTH, AU26=FULL_STRENGTH),
        "AU25-26 away": AUDelta(AU25=-FULL_STRENGTH, AU26=-FULL_STRENGTH),
    }
    named = {name: preset.delta for name, preset in load_presets().items()}
    return (
        *(EditJob(name, "single", delta) for name, delta in singles.items()),
        *(EditJob(name, "two", delta) for name, delta in mouths.items()),
        *(EditJob(name, "emotion", delta) for name, delta in named.items()),
    )


def measure_picture(
    editor: Editor, perception: Perception, person: Identity, jobs: Sequence[EditJob]
) -> Iterator[tuple[WildRow, torch.Tensor]]:
    """Every edit of the largest face, measured, and its crop [1,3,512,512] in 0..1.

    Raises:
        NoFaceError: the picture shows none.
    """
    prepared = prepare(person.load(), perception, editor.framing)
    before = perception.estimate_aus(prepared.face, prepared.crop512).intensities
    own = perception.embed(prepared.crop512, prepared.face)
    for job in jobs:
        edit = edited_crop(editor, prepared, job.delta)
        row = WildRow(person.name, job.name, seam=seam(prepared, edit))
        faces = perception.faces(edit, limit=1)
        if faces:
            after = perception.estimate_aus(faces[0], edit).intensities
            row = replace(
                row,
                identity=perception.identity_distance(own, perception.embed(edit, faces[0])),
                achieved=achieved(job.delta, after - before),
            )
        yield row, edit


def achieved(asked: AUDelta, read: AUDelta) -> float:
    """How much of a delta was read: 1 is all of it, 0 nothing; other units do not count."""
    wanted, found = np.array(asked.values), np.array(read.values)
    return float(wanted @ found / (wanted @ wanted))


def seam(prepared: Prepared, edit: torch.Tensor) -> float:
    """Mean absolute change in the ring just inside the pasted region's edge."""
    mask = prepared.background.mask.float()
    inner = 1 - F.max_pool2d(1 - mask, 2 * SEAM + 1, 1, SEAM)
    ring = ((mask > 0) & (inner <= 0))[0, 0]
    change = (edit - prepared.crop512).abs().mean(1)[0]
    return float(change[ring].mean()) if ring.any() else math.nan


def summarise_wild(rows: Sequence[WildRow]) -> dict[str, dict[str, Estimate]]:
    """Medians over pictures with 95 % intervals, of each edit."""
    jobs = dict.fromkeys(row.job for row in rows)
    return {job: _medians([row for row in rows if row.job == job]) for job in jobs}


def _medians(rows: Sequence[WildRow]) -> dict[str, Estimate]:
    found = {}
    for name in MEASURES:
        values = np.array([[getattr(row, name)] for row in rows], float)
        known = values[np.isfinite(values)]
        middle = float(np.median(known)) if known.size else math.nan
        found[name] = Estimate(middle, *median_interval(values), int(known.size))
    return found


def wild_sheet(edits: Sequence[tuple[WildRow, torch.Tensor]]) -> Image.Image:
    """A row for each picture, a column for each edit."""
    people = dict.fromkeys(row.person for row, _ in edits)
    rows = [
        [
            Tile(Image.fromarray(to_uint8(edit)), row.job, f"identity {row.identity:.2f}")
            for row, edit in edits
            if row.person == person
        ]
        for person in people
    ]
    return labelled_sheet(rows, tile_size=TILE)
