"""``magicface evaluate``: measures a checkpoint and writes its numbers."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.options import (
    DTYPES,
    add_backends,
    add_sampling,
    at_least,
    load_model,
    not_negative,
)
from ..errors import MagicFaceError

if TYPE_CHECKING:
    from .editor import CheckpointEditor, Editor
    from .measure import CaseResult, EditJob, EditRecord

SYNTHETIC = "synthetic"
PROTOCOLS = ("paper", "quick", "single-au")
SYNTHETIC_IDENTITIES = 40
SHEET_IDENTITIES = 4
RUN_OPTIONS = ("out", "pictures", "guidance_sweep", "compare")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sub-command's arguments."""
    parser.add_argument(
        "model",
        metavar="CHECKPOINT",
        nargs="?",
        help='checkpoint folder or file, "mini", the embedded one, or "official"; not with --from',
    )
    parser.add_argument(
        "--protocol",
        choices=[SYNTHETIC, *PROTOCOLS],
        default=SYNTHETIC,
        help="synthetic: rendered test identities with exact answers (default); paper: 12 AUs at "
        "5 strengths and 387 combinations for each identity; single-au: without combinations; "
        "quick: 30 edits for each of 8 identities",
    )
    parser.add_argument(
        "--identities",
        type=at_least(1),
        help="how many (default: all pictures; of rendered ones synthetic 40, paper and single-au "
        "20, quick 8)",
    )
    parser.add_argument(
        "--seed-start",
        type=int,
        default=0,
        help="first identity seed: 0 to 9999 test, 10000 to 19999 validation (default 0)",
    )
    parser.add_argument("--vae", type=Path, metavar="PATH", help="as in magicface edit")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: what suits the device")
    parser.add_argument(
        "--batch", type=at_least(1), default=16, help="edits sampled together (default 16)"
    )
    add_sampling(parser)
    _add_synthetic(parser.add_argument_group("protocol synthetic"))
    _add_run(parser.add_argument_group("protocols paper, quick and single-au"))
    add_backends(parser, "parser", "au_estimator")


def _add_synthetic(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--json", type=Path, help="where the numbers go (required)")
    group.add_argument("--sheet", type=Path, help="also a contact sheet of the first identities")
    group.add_argument(
        "--allow-train", action="store_true", help="permit seeds that were trained on"
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help="folder for rows and report (required); one that is there is resumed",
    )
    group.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="whose faces to edit, the largest of each picture (default: rendered test identities)",
    )
    group.add_argument(
        "--measure",
        choices=["crop", "pasted"],
        default="crop",
        help="the model's own picture, as published (default), or the pasted result",
    )
    group.add_argument(
        "--identity",
        default="auto",
        metavar="NAME",
        help="what tells identities apart: auto, embedded or dlib (default: auto, dlib if it is "
        "installed)",
    )
    group.add_argument(
        "--workers",
        type=at_least(0),
        default=0,
        help="processes that measure while the model edits (default 0: take turns)",
    )
    group.add_argument(
        "--guidance-sweep",
        type=not_negative,
        nargs="+",
        metavar="ALPHA",
        help="a run for each guidance, and the curve over them",
    )
    group.add_argument(
        "--from",
        dest="rows",
        type=Path,
        metavar="RUN",
        help="only write the report of a run's (or sweep's) rows again; needs no model and no GPU",
    )
    group.add_argument(
        "--compare",
        type=Path,
        metavar="RUN",
        help="with --from: how its run differs from this one, edit by edit",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the protocol, prints its table and writes the numbers; returns the exit code 0.

    Raises:
        MagicFaceError: arguments, checkpoint or output paths that cannot work, before any work.
    """
    _check_mode(args)
    if args.rows is None and args.protocol == SYNTHETIC:
        return _run_synthetic(args)
    from .run_command import evaluate, report_rows

    print(report_rows(args) if args.rows is not None else evaluate(args, _load_editor))
    return 0


def _check_mode(args: argparse.Namespace) -> None:
    """Raise MagicFaceError for options that do not belong together."""
    if args.rows is not None:
        misplaced = [name for name in ("model", "out", "pictures", "json") if _given(args, name)]
        mode = "--from"
    elif args.protocol == SYNTHETIC:
        misplaced = [name for name in RUN_OPTIONS if _given(args, name)]
        mode = "--protocol synthetic"
    else:
        misplaced = [name for name in ("json", "sheet", "compare") if _given(args, name)]
        mode = f"--protocol {args.protocol}"
    if misplaced:
        names = ", ".join(_written(name) for name in misplaced)
        raise MagicFaceError(f"{names} cannot be used with {mode}; leave it out.")
    if args.rows is None:
        needed = "json" if args.protocol == SYNTHETIC else "out"
        missing = [name for name in ("model", needed) if not _given(args, name)]
        if missing:
            names = " and ".join(_written(name) for name in missing)
            raise MagicFaceError(f"{mode} needs {names}; see magicface evaluate --help.")
    if args.guidance is not None and args.guidance_sweep:
        raise MagicFaceError("--guidance and --guidance-sweep exclude each other.")


def _given(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name) not in (None, False)


def _written(name: str) -> str:
    """An option as it is typed."""
    return "CHECKPOINT" if name == "model" else f"--{name.replace('_', '-')}"


def _run_synthetic(args: argparse.Namespace) -> int:
    from .report import markdown_table, write_json
    from .synthetic_protocol import check_seeds, synthetic_jobs

    args.identities = SYNTHETIC_IDENTITIES if args.identities is None else args.identities
    _check_outputs(args)
    seeds = check_seeds(args.seed_start, args.identities, allow_train=args.allow_train)
    jobs = synthetic_jobs()
    editor = _load_editor(args)
    records, results, seconds = _measure(editor, seeds, jobs)
    report = _report(args, editor, records, seconds)
    write_json(report, args.json)
    if args.sheet is not None:
        _save_sheet(results, jobs, args.sheet)
    print(markdown_table(report))
    return 0


def _check_outputs(args: argparse.Namespace) -> None:
    from ..files import check_destination
    from ..images import check_image_path

    check_destination(args.json)
    if args.sheet is not None:
        check_image_path(args.sheet)


def _load_editor(args: argparse.Namespace) -> CheckpointEditor:
    from .editor import CheckpointEditor

    return CheckpointEditor(
        load_model(args).checkpoint,
        steps=args.steps,
        guidance=args.guidance,
        scheduler=args.scheduler,
        seed=args.seed,
        batch=args.batch,
    )


def _measure(
    editor: Editor, seeds: range, jobs: Sequence[EditJob]
) -> tuple[tuple[EditRecord, ...], list[CaseResult], dict[str, float]]:
    """All rows, the pictures of the first identities, and the seconds of each part."""
    from tqdm import tqdm

    from ..perception import Perception
    from ..synthetic import HeadModel
    from .measure import Clock, run_protocol
    from .synthetic_protocol import synthetic_cases

    started, clock = time.perf_counter(), Clock()
    perception = Perception.load(models=())  # embedded backends, wherever it is measured
    cases = synthetic_cases(
        seeds,
        jobs,
        framing=editor.framing,
        head_model=HeadModel.load(),
        perception=perception,
        clock=clock,
    )
    results: list[CaseResult] = []
    with tqdm(total=len(seeds), unit="identity", desc="evaluate") as bar:

        def advance(result: CaseResult) -> None:
            if len(results) < SHEET_IDENTITIES:
                results.append(result)
            bar.update()

        records = run_protocol(editor, cases, jobs, perception, clock=clock, on_result=advance)
    clock.add("total", started)
    return records, results, clock.seconds


def _report(
    args: argparse.Namespace,
    editor: CheckpointEditor,
    records: Sequence[EditRecord],
    seconds: dict[str, float],
) -> dict[str, Any]:
    from ..network.checkpoint import resolve_checkpoint
    from .provenance import file_hashes, machine, versions
    from .report import REPORT_FORMAT, edit_rows, summarise
    from .synthetic_protocol import PROTOCOL_VERSION

    checkpoint = editor.checkpoint
    return {
        "format": REPORT_FORMAT,
        "protocol": args.protocol,
        "protocol_version": PROTOCOL_VERSION,
        **summarise(records),
        "checkpoint": {
            "name": checkpoint.info.name,
            **dataclasses.asdict(editor.framing),
            "sha256": file_hashes(resolve_checkpoint(args.model)),
        },
        "settings": {
            "seed_start": args.seed_start,
            "identities": args.identities,
            "seed": args.seed,
            "steps": editor.steps,
            "guidance": editor.guidance,
            "scheduler": editor.scheduler,
            "dtype": str(checkpoint.dtype).removeprefix("torch."),
        },
        "versions": versions(),
        "machine": machine(str(checkpoint.device)),
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "edits": edit_rows(records),
    }


def _save_sheet(results: Sequence[CaseResult], jobs: Sequence[EditJob], path: Path) -> None:
    from ..images import save_image
    from .sheet import contact_sheet

    save_image(contact_sheet(results, jobs), path)
