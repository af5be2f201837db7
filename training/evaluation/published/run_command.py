"""`magicface evaluate` beyond the synthetic protocol: runs, sweeps, reports from rows."""

from __future__ import annotations

import argparse
import dataclasses
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..identities import Identity, picture_identities, synthetic_identities
from ..records import EditJob, EvaluationError
from .combinations import COMBINATIONS_NAME
from .edit_rows import Measuring
from .guidance_sweep import run_path, sweep_paths
from .instruments import InstrumentChoice
from .protocols import PLANS, ProtocolPlan, jobs_sha256
from .run_folder import RUN_FILE, check_place, complete, open_run, start_run
from .run_reports import report_comparison, report_run, report_sweep

if TYPE_CHECKING:
    from ..editor import CheckpointEditor

PICTURES = "pictures"
RENDERED = "synthetic test identities (rendered, not photographs)"


def report_rows(args: argparse.Namespace) -> str:
    """--from and --compare: the report of rows that are there, without model or GPU.

    Raises:
        MagicFaceError: no run there, or two that cannot be compared.
    """
    if args.compare is not None:
        return report_comparison(open_run(args.rows), open_run(args.compare))
    if sweep_paths(args.rows):
        return report_sweep(args.rows)
    return report_run(open_run(args.rows))


def evaluate(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> str:
    """Runs a protocol, resuming what is there, and writes its report; returns the tables.

    `editor_of(args)` loads the checkpoint as an editor, after everything else has been checked.

    Raises:
        MagicFaceError: arguments, pictures, checkpoint or folders that cannot work, before any
            work.
    """
    plan = PLANS[args.protocol]
    sweep: list[float] = sorted(set(args.guidance_sweep or ()))
    places = {one: run_path(args.out, one) for one in sweep} or {args.guidance: args.out}
    if sweep and (args.out / RUN_FILE).exists():
        raise EvaluationError(f'"{args.out}" is a run; a sweep wants a folder of its own.')
    for place in places.values():
        check_place(place)
    identities = _identities(args, plan)
    choice = InstrumentChoice.of(args.au_estimator, args.identity, args.parser)
    editor = editor_of(args)
    with worker_processes(args.workers) as executor:
        measuring = Measuring(choice, args.measure, executor)
        for guidance, place in places.items():
            if guidance is not None:
                editor.guidance = guidance
            _run(args, plan, identities, editor, place, measuring)
    return report_sweep(args.out, sweep) if sweep else report_run(open_run(args.out))


def _run(
    args: argparse.Namespace,
    plan: ProtocolPlan,
    identities: Sequence[Identity],
    editor: CheckpointEditor,
    place: Path,
    measuring: Measuring,
) -> None:
    from tqdm import tqdm

    from ..provenance import machine

    jobs = plan.jobs
    settings = run_settings(args.model, plan, jobs, identities, editor, measuring)
    run = start_run(place, settings, machine(str(editor.checkpoint.device)))
    done, total = len(run.finished) * len(jobs), len(identities) * len(jobs)
    with tqdm(total=total, initial=done, unit="edit", desc=str(place), leave=False) as bar:
        complete(run, editor, identities, jobs, measuring, lambda: bar.update())


def run_settings(
    model: str,
    plan: ProtocolPlan,
    jobs: Sequence[EditJob],
    identities: Sequence[Identity],
    editor: CheckpointEditor,
    measuring: Measuring,
) -> dict[str, Any]:
    """Everything that shapes the rows of a run; another value is another run."""
    from magicface_core.network.checkpoint import resolve_checkpoint

    from ..provenance import file_hashes

    checkpoint = editor.checkpoint
    return {
        "protocol": {
            "name": plan.name,
            "version": plan.version,
            "about": plan.about,
            "jobs": len(jobs),
            "jobs_sha256": jobs_sha256(jobs),
            "combinations": COMBINATIONS_NAME if plan.combinations else "",
        },
        "identities": {identity.name: identity.sha256 for identity in identities},
        "people": PICTURES if identities[0].kind == "picture" else RENDERED,
        "checkpoint": {
            "name": checkpoint.info.name,
            **dataclasses.asdict(editor.framing),
            "sha256": file_hashes(resolve_checkpoint(model)),
        },
        "sampling": {
            "guidance": editor.guidance,
            "steps": editor.steps,
            "scheduler": editor.scheduler,
            "seed": editor.seed,
            "dtype": str(checkpoint.dtype).removeprefix("torch."),
        },
        "instruments": dataclasses.asdict(measuring.choice),
        "measured": measuring.measured,
    }


@contextmanager
def worker_processes(count: int) -> Iterator[Executor | None]:
    """So many processes that measure, of one thread each; None for 0."""
    if count == 0:
        yield None
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, _one_thread) as executor:
        yield executor


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _identities(args: argparse.Namespace, plan: ProtocolPlan) -> tuple[Identity, ...]:
    if args.pictures is not None:
        return picture_identities(args.pictures, args.identities)
    count = plan.identities if args.identities is None else args.identities
    return synthetic_identities(args.seed_start, count)
