"""Training data: ``magicface-data prepare|verify|card|cache``."""

from __future__ import annotations

import argparse
import inspect
import logging
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from magicface_core.errors import MagicFaceError

from .shards.pair_settings import PairSettings
from .shards.prepare import Engine, PrepareSettings
from .shards.splitting import SplitSettings
from .shards.tasks import TaskOutcome
from .videos.layouts import LAYOUTS
from .videos.records import VideoSettings

OK, FAULT, INTERRUPTED = 0, 2, 130
ENGINES = ("local", "ray")
SETTINGS = {"frames": VideoSettings, "pairs": PairSettings, "splits": SplitSettings}
_METAVARS = {int: "N", float: "X", str: "NAME"}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code: 0, 2 (a fault to mend) or 130 (Ctrl-C)."""
    args = build_parser().parse_args(argv)
    level = logging.INFO if args.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(levelname)s: %(message)s", stream=sys.stderr)
    try:
        args.run(args)
    except MagicFaceError as error:
        print(f"magicface-data: {' '.join(str(error).split())}", file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("magicface-data: interrupted; finished videos are kept", file=sys.stderr)
        return INTERRUPTED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="magicface-data", description="Make training data from videos.", allow_abbrev=False
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_prepare(commands)
    checking = _add(commands, "verify", _verify, "check shards against their manifest")
    checking.add_argument("shards", type=Path, metavar="SHARDS")
    checking.add_argument("--deep", action="store_true", help="also check every row's pictures")
    drawing = _add(commands, "card", _card, "draw the data card of shards again")
    drawing.add_argument("shards", type=Path, metavar="SHARDS")
    _add_cache(commands)
    return parser


def _add(commands: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text,
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    parser.set_defaults(run=run)
    return parser


# --- prepare --------------------------------------------------------------------------------------


def _add_prepare(commands: Any) -> None:
    parser = _add(commands, "prepare", _prepare, "turn a folder of videos into training shards")
    parser.add_argument("videos", type=Path, metavar="VIDEOS", help="folder of the videos")
    parser.add_argument("--out", type=Path, required=True, metavar="SHARDS", help="folder to fill")
    parser.add_argument(
        "--licence", required=True, metavar="TEXT", help="under which you may use the videos"
    )
    parser.add_argument(
        "--consent", default="not stated", metavar="TEXT", help="what the people shown agreed to"
    )
    parser.add_argument("--layout", choices=LAYOUTS, default="folder", help="of the videos")
    parser.add_argument("--engine", choices=ENGINES, default="local", help="what runs the work")
    parser.add_argument(
        "--workers", type=_workers, default=_cores(), metavar="N", help="videos at a time"
    )
    parser.add_argument(
        "--ray-address",
        default="local",
        metavar="ADDRESS",
        help="local: a cluster of its own on this machine; or that of a running one",
    )
    parser.add_argument("--shard-megabytes", type=int, default=512, metavar="N", help="of pictures")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of pairs and splits")
    for title, settings in SETTINGS.items():
        group, texts = parser.add_argument_group(title), _explanations(settings)
        for field in fields(settings):
            group.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=type(field.default),
                default=field.default,
                metavar=_METAVARS[type(field.default)],
                help=texts[field.name],
            )


def _explanations(settings: type[Any]) -> dict[str, str]:
    """What a settings class says about its fields: lines "name  text", indented to go on."""
    texts = {field.name: "" for field in fields(settings)}
    names: list[str] = []
    for line in inspect.cleandoc(settings.__doc__ or "").splitlines():
        head = re.match(r"(\w+(?:, \w+)*)\s+(\S.*)", line)
        if head and set(head[1].split(", ")) <= set(texts):
            names, line = head[1].split(", "), head[2]
        elif not line.startswith("  "):
            names = []
        for name in names:
            texts[name] = f"{texts[name]} {line.strip()}".strip().replace("%", "%%")
    return {name: text or name.replace("_", " ") for name, text in texts.items()}


def _settings(kind: type[Any], args: argparse.Namespace) -> Any:
    return kind(**{field.name: getattr(args, field.name) for field in fields(kind)})


def _prepare(args: argparse.Namespace) -> None:
    from .shards.prepare import prepare
    from .videos.layouts import index_videos

    settings = PrepareSettings(
        licence=args.licence,
        consent=args.consent,
        video=_settings(VideoSettings, args),
        pairs=_settings(PairSettings, args),
        split=_settings(SplitSettings, args),
        shard_megabytes=args.shard_megabytes,
        seed=args.seed,
    )
    videos = index_videos(args.videos, args.layout)
    manifest = prepare(videos, args.out, settings, _engine(args), watch=_with_progress)
    counts = manifest.counts
    pairs = ", ".join(f"{count:,} {split}" for split, count in counts["pairs"].items())
    print(f"{counts['videos']:,} videos, {counts['frames']:,} frames, pairs: {pairs}")
    print(f"shards in {args.out}; see {args.out / 'card' / 'card.md'}")


def _engine(args: argparse.Namespace) -> Engine:
    if args.engine == "ray":
        from .shards.engines.ray import RayEngine

        return RayEngine(args.workers, args.ray_address)
    from .shards.engines.local import LocalEngine

    return LocalEngine(args.workers)


def _with_progress(outcomes: Iterator[TaskOutcome], total: int) -> Iterable[TaskOutcome]:
    from tqdm import tqdm

    return tqdm(outcomes, total=total, unit="video", desc="videos")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _workers(text: str) -> int:
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of workers; give 1 or more")
    return count


# --- verify, card ---------------------------------------------------------------------------------


def _verify(args: argparse.Namespace) -> None:
    from .shards.verification import verify

    manifest = verify(args.shards, deep=args.deep)
    rows = sum(shard.rows for shards in manifest.splits.values() for shard in shards)
    files = sum(len(shards) for shards in manifest.splits.values())
    print(f"{rows:,} pairs in {files:,} shards are as the manifest says")


def _card(args: argparse.Namespace) -> None:
    from .shards.card import write_card
    from .shards.manifest import read_manifest

    manifest = read_manifest(args.shards)
    print(write_card(args.shards, manifest, manifest.counts["rejected"]))


# --- cache ----------------------------------------------------------------------------------------


def _add_cache(commands: Any) -> None:
    parser = _add(commands, "cache", _cache, "encode the pictures of shards once")
    parser.add_argument("shards", type=Path, metavar="SHARDS")
    parser.add_argument(
        "--autoencoder", type=Path, required=True, metavar="FOLDER", help="of the run's checkpoint"
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="default: SHARDS/latents")
    parser.add_argument("--flip", action="store_true", help="mirrored pictures as well")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="pictures at a time")
    parser.add_argument("--device", default="cpu", help="as torch names it, for instance cuda")


def _cache(args: argparse.Namespace) -> None:
    from .data.latent_cache import cache_latents

    folder = cache_latents(
        args.shards,
        args.autoencoder,
        out=args.out,
        flip=args.flip,
        batch=args.batch,
        device=args.device,
    )
    print(f"latents in {folder}; set data.cache to it")


if __name__ == "__main__":
    raise SystemExit(main())
