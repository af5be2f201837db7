"""Options that several commands share, and the model they describe."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MagicFaceError
from ..network.precision import DTYPES

if TYPE_CHECKING:
    from ..editing.magicface import MagicFace
    from ..editing.settings import Settings
    from ..perception import Perception

REGIONS = ("face", "person")
BATCH_SIZE = 8
BACKENDS = {
    "parser": ("--parser", "auto, bisenet or embedded", "what finds the region"),
    "jaw": ("--jaw", "auto, embedded or face-alignment", "what places the jaw's dots"),
    "au_estimator": (
        "--au-backend",
        'auto, libreface, embedded or "libreface package"',
        "what reads the action units",
    ),
}
"""Parts of the perception: option, names, purpose."""


def add_model(parser: argparse.ArgumentParser) -> None:
    """--model, --vae, --device and --dtype."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default="mini",
        metavar="NAME|PATH",
        help='checkpoint folder or file, "mini", the embedded one (default), or "official", as '
        "`magicface models download official` brings it",
    )
    group.add_argument(
        "--vae",
        type=Path,
        metavar="PATH",
        help="Stable Diffusion 1.5's VAE, for a checkpoint without its own: a diffusers folder, "
        "or a .safetensors file of the VAE or of a whole Stable Diffusion checkpoint",
    )
    group.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    group.add_argument("--dtype", choices=DTYPES, help="default: what suits the device")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """--seed, --steps, --guidance and --scheduler."""
    group = parser.add_argument_group("sampling")
    group.add_argument(
        "--seed", type=at_least(0), default=0, help="of the starting noise (default: 0)"
    )
    group.add_argument("--steps", type=at_least(1), help="default: the checkpoint's")
    group.add_argument(
        "--guidance", type=not_negative, help="AU guidance alpha (default: the checkpoint's)"
    )
    group.add_argument("--scheduler", help="sampler by name (default: the checkpoint's)")


def add_face(parser: argparse.ArgumentParser) -> None:
    """The photograph and --face."""
    parser.add_argument("photo", metavar="PHOTO", help="picture file")
    add_face_number(parser)


def add_face_number(parser: argparse.ArgumentParser) -> None:
    """--face."""
    parser.add_argument(
        "--face",
        type=at_least(0),
        default=0,
        metavar="N",
        help="which face, 0 is the largest (default)",
    )


def add_region(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    """--region."""
    parser.add_argument("--region", choices=REGIONS, default=default, help=text)


def add_face_only(parser: argparse.ArgumentParser) -> None:
    """--face-only."""
    parser.add_argument(
        "--face-only",
        action="store_true",
        help="put only the face back into the photograph, where the model repaints more: hair, "
        "neck and clothes stay as they were",
    )


def add_backends(parser: argparse.ArgumentParser, *parts: str) -> None:
    """--parser and --jaw, or --au-backend; the names are checked when they are used."""
    group = parser.add_argument_group("perception", "what is there: magicface doctor")
    for part in parts:
        flag, names, text = BACKENDS[part]
        group.add_argument(
            flag,
            dest=part,
            default="auto",
            metavar="NAME",
            help=f"{text}: {names} (default: auto, the best one present)",
        )


def load_perception(args: argparse.Namespace) -> Perception:
    """The backends that --parser, --jaw and --au-backend describe; no weights are read yet."""
    from ..perception import Perception

    return Perception.load(**{part: getattr(args, part, "auto") for part in BACKENDS})


def add_units(parser: argparse.ArgumentParser) -> None:
    """--au, the change asked for."""
    parser.add_argument(
        "--au",
        action="append",
        required=True,
        metavar="AU12=4",
        help="change of an action unit, -10 to 10; repeat it or separate by commas",
    )


def add_output(
    parser: argparse.ArgumentParser, default: str | None = None, *other_names: str
) -> None:
    """-o, required where there is no default."""
    text = "picture to write" + (f" (default: {default})" if default else "")
    names = ("-o", "--output", *other_names)
    parser.add_argument(
        *names, required=default is None, default=default, metavar="OUT.png", help=text
    )


def load_model(args: argparse.Namespace) -> MagicFace:
    """The checkpoint that --model, --vae, --device and --dtype describe, with --parser and --jaw.

    Options that a command does not have are as if they were not given.
    """
    from ..editing.magicface import MagicFace

    _require_device(args.device)
    return MagicFace.load(
        args.model,
        device=args.device,
        dtype=args.dtype,
        vae=getattr(args, "vae", None),
        perception=load_perception(args),
    )


def settings_of(args: argparse.Namespace) -> Settings:
    """--seed, --steps, --guidance and --scheduler."""
    from ..editing.settings import Settings

    return Settings(args.seed, args.steps, args.guidance, args.scheduler)


def at_least(minimum: int) -> Callable[[str], int]:
    """An argparse type: whole numbers from `minimum` up."""

    def whole_number(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"{text} is below {minimum}")
        return number

    return whole_number


def not_negative(text: str) -> float:
    """An argparse type: finite numbers from 0 up."""
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number from 0 up")
    return number


def _require_device(name: str | None) -> None:
    """Raise MagicFaceError for a device that does not exist here."""
    available = available_devices()
    if name is not None and name.partition(":")[0] not in available:
        raise MagicFaceError(
            f'Device "{name}" is not available here; choose one of {", ".join(available)}.'
        )


def available_devices() -> tuple[str, ...]:
    """Kinds of devices on this machine that torch can use, the fastest first."""
    import torch

    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return (*(name for name, there in found.items() if there), "cpu")
