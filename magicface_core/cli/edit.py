"""`magicface edit`: change the expression of one face of a photograph."""

from __future__ import annotations

import argparse

from ..aus import AUDelta
from . import options
from .messages import note_on_weights, step_progress


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --au, -o and the shared options."""
    options.add_face(parser)
    options.add_units(parser)
    options.add_output(parser)
    options.add_region(parser, None, "what the model repaints (default: the checkpoint's)")
    options.add_face_only(parser)
    options.add_backends(parser, "parser", "jaw")
    options.add_model(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Check everything cheap first, then load, edit and save."""
    from ..pictures.images import check_image_path, load_image, save_image

    delta = AUDelta.parse(args.au)
    check_image_path(args.output)
    photo = load_image(args.photo)
    model = options.load_model(args)
    settings = options.settings_of(args)
    with step_progress("editing") as advance:
        [result] = model.edit_many(
            photo, [delta], settings, args.face, args.region, advance, args.face_only
        )
    save_image(result.image, args.output)
    print(f"wrote {args.output}: face {args.face}, {delta.label()}, {result.seconds:.1f} s")
    note_on_weights(model.checkpoint.info)
    return 0
