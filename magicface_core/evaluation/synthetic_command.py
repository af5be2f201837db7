"""`magicface evaluate --protocol synthetic`: edits with exact answers, measured and judged."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .acceptance import Verdict, acceptance_table, verdicts
from .measure import CaseResult, Clock, EditJob, EditRecord, run_protocol
from .report import REPORT_FORMAT, edit_rows, markdown_table, summarise, write_json
from .synthetic_jobs import synthetic_jobs
from .synthetic_protocol import PROTOCOL_VERSION, check_seeds, synthetic_cases

if TYPE_CHECKING:
    from pathlib import Path

    from .editor import CheckpointEditor, Editor

IDENTITIES = 40
CHECKED_IDENTITIES = 100
"""Of --check: enough for intervals of about a hundredth on the ratios."""
SHEET_IDENTITIES = 4
OK, FAILED = 0, 1


def evaluate_synthetic(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> tuple[str, int]:
    """Runs the protocol and writes its files; returns the tables and the exit code.

    The code is 1 where --check was given and a criterion fails. `editor_of(args)` loads the
    checkpoint as an editor, after everything else has been checked.

    Raises:
        MagicFaceError: arguments, checkpoint or output paths that cannot work, before any work.
    """
    _check_outputs(args)
    count = args.identities or (CHECKED_IDENTITIES if args.check else IDENTITIES)
    seeds = check_seeds(args.seed_start, count, allow_train=args.allow_train)
    jobs = synthetic_jobs()
    editor = editor_of(args)
    records, results, seconds = _measure(editor, seeds, jobs)
    report = _report(args, editor, records, seconds)
    text, code = markdown_table(report), OK
    if args.check:
        found = verdicts(records, report, checkpoint_bytes(args.model))
        report["acceptance"] = [one.as_dict() for one in found]
        text = f"{text}\n\n{acceptance_table(found).markdown()}"
        code = _exit_code(found)
    if args.json is not None:
        write_json(report, args.json)
    if args.sheet is not None:
        _save_sheet(results, args.sheet)
    return text, code


def checkpoint_bytes(model: str) -> int:
    """What a checkpoint's weights and settings take on disk."""
    from ..network.checkpoint import resolve_checkpoint
    from .provenance import checkpoint_files

    return sum(path.stat().st_size for path in checkpoint_files(resolve_checkpoint(model)))


def _exit_code(found: Sequence[Verdict]) -> int:
    return OK if all(one.passed for one in found) else FAILED


def _check_outputs(args: argparse.Namespace) -> None:
    from ..files import check_destination
    from ..images import check_image_path

    if args.json is not None:
        check_destination(args.json)
    if args.sheet is not None:
        check_image_path(args.sheet)


def _measure(
    editor: Editor, seeds: range, jobs: Sequence[EditJob]
) -> tuple[tuple[EditRecord, ...], list[CaseResult], dict[str, float]]:
    """All rows, the pictures of the first identities, and the seconds of each part."""
    from tqdm import tqdm

    from ..perception import Perception
    from ..synthetic import HeadModel

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
    with tqdm(total=len(seeds) * len(jobs), unit="edit", desc="evaluate") as bar:

        def advance(result: CaseResult) -> None:
            if result.case.source.seed < seeds[0] + SHEET_IDENTITIES:
                results.append(result)
            bar.update(len(result.records))

        records = run_protocol(editor, cases, perception, clock=clock, on_result=advance)
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
            "identities": len({record.seed for record in records}),
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


def _save_sheet(results: Sequence[CaseResult], path: Path) -> None:
    from ..images import save_image
    from .sheet import contact_sheet

    save_image(contact_sheet(results), path)
