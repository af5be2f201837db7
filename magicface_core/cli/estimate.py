"""`magicface estimate`: the twelve action units of a face, as a table or JSON."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from ..expressions.building import estimate_rows, intensity_table
from . import options

if TYPE_CHECKING:
    from ..perception import AUEstimate

FORMAT, VERSION = "magicface-estimate", 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --face, --au-backend and --json."""
    options.add_face(parser)
    options.add_backends(parser, "au_estimator")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Find the face, estimate, print."""
    from ..framing.framing import find_face, single_picture
    from ..pictures.images import load_image

    perception = options.load_perception(args)
    source = single_picture(load_image(args.photo))
    face, count = find_face(perception, source, args.face)
    estimate = perception.estimate_aus(face, source)
    if args.json:
        print(json.dumps(_as_json(args, count, estimate), indent=2))
    else:
        print(f"{args.photo}: face {args.face} of {count}, estimated by {estimate.backend}")
        print(intensity_table(estimate))
    return 0


def _as_json(args: argparse.Namespace, count: int, estimate: AUEstimate) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "version": VERSION,
        "photo": args.photo,
        "face": args.face,
        "faces": count,
        "backend": estimate.backend,
        "aus": [
            {
                "au": unit.code,
                "name": unit.name,
                "intensity": round(intensity, 3),
                "confidence": round(confidence, 3),
            }
            for unit, intensity, confidence in estimate_rows(estimate)
        ],
    }
