"""`magicface demo`: the packaged portrait under five edits by the packaged checkpoint."""

from __future__ import annotations

import argparse
from importlib import resources
from typing import TYPE_CHECKING

from .. import __version__
from ..aus import DEMO_EDITS
from . import options
from .messages import note_on_weights, step_progress

if TYPE_CHECKING:
    from PIL import Image

    from ..editing.results import EditResult

PORTRAIT = "assets/portrait.png"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """-o and --device."""
    options.add_output(parser, default="magicface-demo.png")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.set_defaults(model="mini", vae=None, dtype=None)


def run(args: argparse.Namespace) -> int:
    """Edit, draw, save."""
    from ..editing.settings import Settings
    from ..pictures.images import check_image_path, save_image

    check_image_path(args.output)
    portrait = load_portrait()
    model = options.load_model(args)
    deltas = list(DEMO_EDITS.values())
    settings = Settings()
    with step_progress("editing") as advance:
        results = model.edit_many(portrait, deltas, settings, callback=advance)
    save_image(demo_strip(portrait, results), args.output)
    seconds = sum(result.seconds for result in results)
    print(f"wrote {args.output}: {len(results)} edits in {seconds:.1f} s")
    note_on_weights(model.checkpoint.info)
    return 0


def load_portrait() -> Image.Image:
    """The portrait that ships with the package."""
    from ..pictures.images import load_image

    with resources.as_file(resources.files("magicface_core").joinpath(PORTRAIT)) as path:
        return load_image(path)


def demo_strip(portrait: Image.Image, results: list[EditResult]) -> Image.Image:
    """Source and edits side by side, each with its name and its AUs."""
    from ..drawing.sheets import Tile, labelled_sheet

    tiles = [Tile(portrait, "source", "unchanged")]
    for name, result in zip(DEMO_EDITS, results, strict=True):
        tiles.append(Tile(result.image, name, result.delta.label()))
    heading = f"MagicFace {__version__}, checkpoint mini (trained on synthetic faces)"
    return labelled_sheet([tiles], heading)
