"""`magicface pose`: the background + pose picture of a face, in the published framing."""

from __future__ import annotations

import argparse

from . import options

SIZE_LIMITS = (64, 2048)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO, --face, -o, --region, --parser, --jaw and --size."""
    options.add_face(parser)
    options.add_output(parser)
    options.add_region(parser, "face", "what is blacked out (default: face)")
    options.add_backends(parser, "parser", "jaw")
    parser.add_argument(
        "--size", type=_side, default=512, help="side of the picture in pixels (default: 512)"
    )


def run(args: argparse.Namespace) -> int:
    """Prepare the crop, resize, save."""
    from PIL import Image

    from ..framing.framing import Framing
    from ..framing.preparation import prepare
    from ..pictures.images import check_image_path, load_image, save_image, to_uint8

    check_image_path(args.output)
    perception = options.load_perception(args)
    photo = load_image(args.photo)
    prepared = prepare(photo, perception, Framing(region=args.region), args.face)
    picture = Image.fromarray(to_uint8(prepared.background.picture))
    if args.size != picture.width:
        picture = picture.resize((args.size, args.size), Image.Resampling.LANCZOS)
    save_image(picture, args.output)
    found_by = f"region {args.region} by {prepared.background.parser}"
    print(f"wrote {args.output}: {args.size} x {args.size}, {found_by}")
    return 0


def _side(text: str) -> int:
    low, high = SIZE_LIMITS
    side = int(text)
    if not low <= side <= high:
        raise argparse.ArgumentTypeError(f"{text} is outside {low}..{high}")
    return side
