"""`magicface evaluate --protocol smiles` and `--protocol wild`: photographs, measured."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from magicface_core.aus import AU_ORDER
from magicface_core.errors import FaceTooSmallError, NoFaceError
from magicface_core.files import check_destination
from magicface_core.perception import Perception
from magicface_core.pictures.images import check_image_path, load_image, save_image

from ..exact.command import checkpoint_facts, sampling_facts
from ..identities import (
    POSE_SPREAD,
    RENDERED_SIZE,
    RENDERED_ZOOM,
    SCENE_STREAM,
    check_seeds,
    picture_identities,
    synthetic_identities,
)
from ..intervals import Estimate
from ..records import EvaluationError
from ..tables import Cell, Table, write_json
from .smiles import FACES, SmileRow, measure_pair, smile_pairs, summarise_smiles
from .smiles import MEASURES as SMILE_MEASURES
from .wild import MEASURES as WILD_MEASURES
from .wild import WildRow, measure_picture, summarise_wild, wild_jobs, wild_sheet

if TYPE_CHECKING:
    from torch import Tensor

    from ..editor import CheckpointEditor

logger = logging.getLogger(__name__)
RENDERED_PEOPLE = 8
"""Rendered where no photographs are given: the command can be tried without any."""
RENDERED_SMILE = {6: 3.0, 12: 4.0, 25: 2.5}
VERSION = 1

Pairs = Iterator[tuple[str, Mapping[str, Image.Image]]]


def evaluate_photographs(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> str:
    """Runs protocol smiles or wild and writes its files; returns the tables.

    Raises:
        MagicFaceError: arguments, pictures, checkpoint or output paths that cannot work, before any
            work.
    """
    check_destination(args.json)
    if args.sheet is not None:
        check_image_path(args.sheet)
    measure = _smiles if args.protocol == "smiles" else _wild
    return measure(args, editor_of)


def _smiles(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> str:
    pairs = _pairs(args)
    editor, perception = editor_of(args), _perception(args)
    rows: list[SmileRow] = []
    for person, pictures in pairs:
        try:
            rows += measure_pair(editor, perception, person, pictures)
        except (NoFaceError, FaceTooSmallError) as error:
            logger.warning("%s is left out: %s", person, error)
    if not rows:
        raise EvaluationError("No face was found in any pair; look at the pictures.")
    found = summarise_smiles(rows)
    _write(args, editor, found, [asdict(row) for row in rows], SMILE_MEASURES)
    return _table("Smiles", "direction", found, SMILE_MEASURES)


def _wild(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> str:
    people = (
        synthetic_identities(args.seed_start, args.identities or RENDERED_PEOPLE)
        if args.pictures is None
        else picture_identities(args.pictures, args.identities)
    )
    editor, perception, jobs = editor_of(args), _perception(args), wild_jobs()
    rows: list[WildRow] = []
    shown: list[tuple[WildRow, Tensor]] = []
    for person in people:
        try:
            for row, edit in measure_picture(editor, perception, person, jobs):
                rows.append(row)
                if args.sheet is not None:
                    shown.append((row, edit))
        except (NoFaceError, FaceTooSmallError) as error:
            logger.warning("%s is left out: %s", person.name, error)
    if not rows:
        raise EvaluationError("No face was found in any picture; look at them.")
    if args.sheet is not None:
        save_image(wild_sheet(shown), args.sheet)
    found = summarise_wild(rows)
    _write(args, editor, found, [asdict(row) for row in rows], WILD_MEASURES)
    return _table("Wild", "edit", found, WILD_MEASURES)


def _pairs(args: argparse.Namespace) -> Pairs:
    """Photographs of a folder, or rendered test identities."""
    if args.pictures is None:
        seeds = check_seeds(args.seed_start, args.identities or RENDERED_PEOPLE)
        return _rendered_pairs(seeds)
    files = smile_pairs(args.pictures, args.identities)
    return (
        (person, {name: load_image(path) for name, path in both.items()})
        for person, both in files.items()
    )


def _rendered_pairs(seeds: range) -> Pairs:
    from ...synthetic import HeadModel, exact_edit, sample_frame, sample_identity
    from ...synthetic.picture.render import render

    model = HeadModel.load()
    for seed in seeds:
        au = np.zeros(len(AU_ORDER), np.float32)
        frame = sample_frame(np.random.default_rng([SCENE_STREAM, seed]), au, POSE_SPREAD)
        frame = replace(frame, zoom=RENDERED_ZOOM * frame.zoom)
        identity = sample_identity(model, seed)
        smiling = au.copy()
        for number, intensity in RENDERED_SMILE.items():
            smiling[AU_ORDER.index(number)] = intensity
        frames = (frame, exact_edit(frame, smiling))
        drawn = [render(model, identity, each, RENDERED_SIZE).image for each in frames]
        pictures = dict(zip(FACES, map(Image.fromarray, drawn), strict=True))
        yield f"synthetic-test-{seed:05d}", pictures


def _perception(args: argparse.Namespace) -> Perception:
    return Perception.load(parser=args.parser, au_estimator=args.au_estimator)


def _write(
    args: argparse.Namespace,
    editor: CheckpointEditor,
    found: Mapping[str, Mapping[str, Estimate]],
    rows: list[dict[str, Any]],
    measures: Mapping[str, str],
) -> None:
    report = {
        "protocol": args.protocol,
        "protocol_version": VERSION,
        "measures": dict(measures),
        "people": len({row["person"] for row in rows}),
        "medians": {
            group: {name: one.as_dict() for name, one in values.items()}
            for group, values in found.items()
        },
        "checkpoint": checkpoint_facts(args.model, editor),
        "settings": sampling_facts(editor),
        "rows": rows,
    }
    write_json(report, args.json)


def _table(
    title: str,
    first: str,
    found: Mapping[str, Mapping[str, Estimate]],
    measures: Mapping[str, str],
) -> str:
    rows: list[list[Cell]] = [
        [group, *(values[name] for name in measures)] for group, values in found.items()
    ]
    note = "Medians over people with 95 % intervals; teeth: a share."
    notes = (note,) if "teeth" in measures else (note.split(";")[0] + ".",)
    return Table(title, (first, *measures), rows, notes, definitions=measures).markdown()
