"""`magicface sweep`: action units over a range of strengths, one row for each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..aus import ACTION_UNITS, AUDelta
from ..expressions.animation import sweep
from . import options
from .messages import note_on_weights, step_progress

if TYPE_CHECKING:
    from PIL import Image

    from ..editing.results import EditResult


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --au, --from, --to, --steps-count, -o and the shared options."""
    options.add_face(parser)
    parser.add_argument(
        "--au",
        action="append",
        required=True,
        metavar="AU12",
        help="action unit to vary; each repetition adds a row",
    )
    parser.add_argument("--from", dest="first", type=float, default=0.0, help="default: 0")
    parser.add_argument("--to", dest="last", type=float, default=5.0, help="default: 5")
    parser.add_argument(
        "--steps-count", type=options.at_least(2), default=5, help="pictures per row (default: 5)"
    )
    options.add_output(parser)
    options.add_region(parser, None, "what the model repaints (default: the checkpoint's)")
    options.add_face_only(parser)
    options.add_backends(parser, "parser", "jaw")
    options.add_model(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Edit the face once per cell and save the grid."""
    from ..pictures.images import check_image_path, load_image, save_image

    rows = sweep_deltas(args.au, args.first, args.last, args.steps_count)
    deltas = [delta for row in rows for delta in row]
    check_image_path(args.output)
    photo = load_image(args.photo)
    model = options.load_model(args)
    settings = options.settings_of(args)
    with step_progress("editing") as advance:
        results = model.edit_many(
            photo, deltas, settings, args.face, args.region, advance, args.face_only
        )
    save_image(_grid(results, args.au, args.steps_count), args.output)
    print(f"wrote {args.output}: {len(deltas)} edits")
    note_on_weights(model.checkpoint.info)
    return 0


def sweep_deltas(
    units: Sequence[str], first: float, last: float, count: int
) -> list[list[AUDelta]]:
    """One row of `count` evenly spaced deltas per unit; raises AUError outside -10..10."""
    return [list(sweep((unit, first, last, count))) for unit in units]


def _grid(results: Sequence[EditResult], units: Sequence[str], count: int) -> Image.Image:
    from ..drawing.sheets import Tile, labelled_sheet

    names = {unit.code: unit.name for unit in ACTION_UNITS}
    tiles = []
    for index, result in enumerate(results):
        code = units[index // count].strip().upper()
        tiles.append(Tile(result.crop, result.delta.label(), names[code]))
    return labelled_sheet([tiles[i : i + count] for i in range(0, len(tiles), count)])
