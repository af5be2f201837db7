"""`magicface attention`: where the denoiser looks during an edit, as a labelled sheet."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..aus import AUDelta
from . import options
from .messages import note_on_weights, step_progress

if TYPE_CHECKING:
    from ..attention.maps import Point
    from ..framing.preparation import Prepared


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --au, --point, --layer, --tile, -o and the shared options."""
    options.add_face(parser)
    options.add_units(parser)
    parser.add_argument(
        "--point",
        action="append",
        metavar="X,Y",
        help="pixel of the photograph whose look at the identity image is shown; repeat it for "
        "more (default: eyes and mouth corners)",
    )
    parser.add_argument(
        "--layer",
        action="append",
        type=options.at_least(0),
        metavar="N",
        help="transformer block of the denoiser, from 0 in the order of execution; repeat it for "
        "the mean of several (default: of all)",
    )
    parser.add_argument(
        "--tile",
        type=options.at_least(64),
        default=240,
        metavar="PIXELS",
        help="side of one map on the sheet (default: 240)",
    )
    options.add_output(parser, None, "--out")
    options.add_region(parser, None, "what the model repaints (default: the checkpoint's)")
    options.add_backends(parser, "parser", "jaw")
    options.add_model(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Edit the face once, record, draw and save."""
    from ..attention.maps import parse_places, record_edit
    from ..attention.sheet import attention_sheet
    from ..pictures.images import check_image_path, load_image, save_image, to_tensor

    delta = AUDelta.parse(args.au)
    places = None if args.point is None else parse_places(" ".join(args.point))
    check_image_path(args.output)
    photo = load_image(args.photo)
    model = options.load_model(args)
    settings = options.settings_of(args)
    prepared = model.prepare(photo, args.face, args.region)
    points = None if places is None else _points(places, prepared)
    with step_progress("editing") as advance:
        result, maps = record_edit(
            model, prepared, delta, settings, points=points, layers=args.layer, callback=advance
        )
    edited = to_tensor(result.crop)
    heading = f"Attention maps, {delta.label()}{_layers_named(args.layer)}"
    sheet = attention_sheet(maps, edited, prepared.crop512, heading=heading, tile=args.tile)
    save_image(sheet, args.output)
    share = float(maps.picture("reference", edited.shape[-1]).mean())
    print(
        f"wrote {args.output}: face {args.face}, {delta.label()}, "
        f"{_counted(len(maps.timesteps), 'step')}, {_counted(len(maps.layers), 'layer')}; "
        f"{100 * share:.0f} % of the attention on the identity image"
    )
    note_on_weights(model.checkpoint.info)
    return 0


def _layers_named(layers: Sequence[int] | None) -> str:
    if layers is None:
        return ""
    numbers = sorted(set(layers))
    return f", layer{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


def _points(places: Sequence[tuple[float, float]], prepared: Prepared) -> tuple[Point, ...]:
    """Pixels of the photograph as points of the face's crop; raises MagicFaceError outside it."""
    import numpy as np

    from ..attention.maps import Point
    from ..errors import MagicFaceError

    inside = prepared.crop.to_crop(np.array(places), 1)
    for (x, y), (u, v) in zip(places, inside.tolist(), strict=True):
        if not (0 <= u <= 1 and 0 <= v <= 1):
            corners = prepared.crop.to_source(np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1]]), 1)
            (left, top), (right, bottom) = corners.min(0), corners.max(0)
            raise MagicFaceError(
                f"--point {x:g},{y:g} lies outside the face's crop, which spans "
                f"{left:.0f}..{right:.0f} across and {top:.0f}..{bottom:.0f} down."
            )
    return tuple(
        Point(f"{x:g}, {y:g}", u, v) for (x, y), (u, v) in zip(places, inside.tolist(), strict=True)
    )
