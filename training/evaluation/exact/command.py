"""`magicface evaluate --protocol synthetic`: edits with exact answers, measured and judged."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from magicface_core.files import check_destination, file_sha256, write_file

from ..identities import check_seeds
from ..provenance import checkpoint_files, file_hashes, machine, versions
from ..published.protocols import jobs_sha256
from ..published.run_folder import check_folder
from ..records import EditJob, EditRecord
from ..tables import write_json
from .acceptance import Verdict, acceptance_table, verdicts
from .au_regressor import ASSET, own_error
from .folder import SyntheticRun
from .jobs import synthetic_jobs
from .measure import CaseResult, Clock
from .protocol import PROTOCOL_VERSION
from .report import REPORT_FORMAT, edit_rows, markdown_table, summarise
from .workers import ArgumentsLoader, EditorLoader, Task, measured_identities

if TYPE_CHECKING:
    from pathlib import Path

    from ..editor import CheckpointEditor

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
    editor = editor_of(args)
    loader = ArgumentsLoader.of(editor_of, args)
    records, results, seconds = _measure(args, editor, seeds, loader)
    report = _report(args, editor, records, seconds)
    text, code = markdown_table(report), OK
    if args.check:
        found = verdicts(records, report, checkpoint_bytes(args.model))
        report["acceptance"] = [one.as_dict() for one in found]
        text = f"{text}\n\n{acceptance_table(found).markdown()}"
        code = _exit_code(found)
    _write(args, report, text)
    if args.sheet is not None:
        _save_sheet(results, args.sheet)
    return text, code


def _write(args: argparse.Namespace, report: Mapping[str, Any], text: str) -> None:
    if args.json is not None:
        write_json(report, args.json)
    if args.out is not None:
        write_json(report, args.out / "report.json")
        write_file(args.out / "report.md", f"{text.rstrip()}\n")


def checkpoint_bytes(model: str) -> int:
    """What a checkpoint's weights and settings take on disk."""
    from magicface_core.network.checkpoint import resolve_checkpoint

    return sum(path.stat().st_size for path in checkpoint_files(resolve_checkpoint(model)))


def _exit_code(found: Sequence[Verdict]) -> int:
    return OK if all(one.passed for one in found) else FAILED


def _check_outputs(args: argparse.Namespace) -> None:
    from magicface_core.pictures.images import check_image_path

    if args.out is not None:
        check_folder(args.out)
    if args.json is not None:
        check_destination(args.json)
    if args.sheet is not None:
        check_image_path(args.sheet)


def _measure(
    args: argparse.Namespace, editor: CheckpointEditor, seeds: range, loader: EditorLoader
) -> tuple[tuple[EditRecord, ...], list[CaseResult], dict[str, float]]:
    """All rows, the pictures for the sheet, and the seconds of each part (over all processes)."""
    from tqdm import tqdm

    started, clock = time.perf_counter(), Clock()
    jobs = synthetic_jobs()
    run = None if args.out is None else SyntheticRun(args.out)
    if run is not None:
        run.start(run_settings(args.model, editor, jobs))
    shown = seeds[:SHEET_IDENTITIES] if args.sheet is not None else seeds[:0]
    kept = {} if run is None else {seed: run.records(seed) for seed in seeds if seed not in shown}
    rows = {seed: records for seed, records in kept.items() if records is not None}
    tasks = [Task(seed, tuple(jobs), seed in shown) for seed in seeds if seed not in rows]
    results: list[CaseResult] = []
    with tqdm(total=len(seeds), initial=len(rows), unit="identity", desc="evaluate") as bar:
        for found in measured_identities(editor, tasks, loader, args.workers):
            rows[found.seed] = found.records
            results.extend(found.results)
            if run is not None:
                run.keep(found.seed, found.records)
            clock.join(found.seconds)
            bar.update()
    clock.add("total", started)
    return tuple(record for seed in seeds for record in rows[seed]), results, clock.seconds


def run_settings(model: str, editor: CheckpointEditor, jobs: Sequence[EditJob]) -> dict[str, Any]:
    """Everything that shapes the rows of an identity; another value is another run."""
    return {
        "protocol_version": PROTOCOL_VERSION,
        "jobs_sha256": jobs_sha256(jobs),
        "regressor_sha256": file_sha256(ASSET),
        "checkpoint": checkpoint_facts(model, editor),
        "sampling": sampling_facts(editor),
    }


def checkpoint_facts(model: str, editor: CheckpointEditor) -> dict[str, Any]:
    """What tells a checkpoint from others, for reports."""
    from magicface_core.network.checkpoint import resolve_checkpoint

    return {
        "name": editor.checkpoint.info.name,
        **dataclasses.asdict(editor.framing),
        "sha256": file_hashes(resolve_checkpoint(model)),
    }


def sampling_facts(editor: CheckpointEditor) -> dict[str, Any]:
    """How an editor samples, for reports."""
    return {
        "seed": editor.seed,
        "steps": editor.steps,
        "guidance": editor.guidance,
        "scheduler": editor.scheduler,
        "dtype": str(editor.checkpoint.dtype).removeprefix("torch."),
    }


def _report(
    args: argparse.Namespace,
    editor: CheckpointEditor,
    records: Sequence[EditRecord],
    seconds: dict[str, float],
) -> dict[str, Any]:
    return {
        "format": REPORT_FORMAT,
        "protocol": args.protocol,
        "protocol_version": PROTOCOL_VERSION,
        **summarise(records, held_out=own_error()),
        "checkpoint": checkpoint_facts(args.model, editor),
        "settings": {
            "seed_start": args.seed_start,
            "identities": len({record.seed for record in records}),
            **sampling_facts(editor),
        },
        "versions": versions(),
        "machine": machine(str(editor.checkpoint.device)),
        "seconds": {part: round(value, 2) for part, value in seconds.items()},
        "edits": edit_rows(records),
    }


def _save_sheet(results: Sequence[CaseResult], path: Path) -> None:
    from magicface_core.pictures.images import save_image

    from .sheet import contact_sheet

    save_image(contact_sheet(results), path)
