"""``magicface evaluate``: measures a checkpoint and writes its numbers."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..cli.options import DTYPES, add_sampling, at_least, load_model

if TYPE_CHECKING:
    from .editor import CheckpointEditor, Editor
    from .measure import CaseResult, EditJob, EditRecord

SHEET_IDENTITIES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sub-command's arguments."""
    parser.add_argument(
        "model", metavar="CHECKPOINT", help='checkpoint folder, or "mini", the embedded one'
    )
    parser.add_argument(
        "--protocol",
        choices=["synthetic"],
        default="synthetic",
        help="synthetic: rendered test identities with exact answers (default)",
    )
    parser.add_argument("--identities", type=int, default=40, help="how many (default 40)")
    parser.add_argument(
        "--seed-start",
        type=int,
        default=0,
        help="first identity seed: 0 to 9999 test, 10000 to 19999 validation (default 0)",
    )
    parser.add_argument("--json", type=Path, required=True, help="where the numbers go")
    parser.add_argument("--sheet", type=Path, help="also a contact sheet of the first identities")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: what suits the device")
    parser.add_argument(
        "--batch", type=at_least(1), default=16, help="edits sampled together (default 16)"
    )
    parser.add_argument(
        "--allow-train", action="store_true", help="permit seeds that were trained on"
    )
    add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Runs the protocol, prints its table and writes the JSON; returns the exit code 0.

    Raises:
        MagicFaceError: arguments, checkpoint or output paths that cannot work, before any work.
    """
    from .report import markdown_table, write_json
    from .synthetic_protocol import check_seeds, synthetic_jobs

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
