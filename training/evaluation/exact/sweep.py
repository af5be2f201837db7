"""The paper's Table IV on rendered faces: one edit at several AU guidances, against exact answers.

Every identity is rendered and prepared once; its single AUs at full strength are edited at every
guidance. The checkpoint's other settings stay as they are.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from magicface_core.files import check_destination
from magicface_core.perception.graph import one_thread

from ..identities import check_seeds
from ..provenance import machine, versions
from ..published.protocols import jobs_sha256
from ..published.run_command import worker_processes
from ..records import FULL_STRENGTH, EditJob, EditRecord
from ..tables import Table, write_json
from .command import checkpoint_facts, sampling_facts
from .jobs import synthetic_jobs
from .measure import measure_case
from .pooling import People, sharpness_part
from .protocol import PROTOCOL_VERSION
from .report import edit_rows, estimate
from .workers import ArgumentsLoader, Bench, EditorLoader, Task, bench_of

if TYPE_CHECKING:
    from ..editor import CheckpointEditor

SWEEP_FORMAT = "magicface-synthetic-sweep-1"
IDENTITIES = 8
RESAMPLES = 2000
Swept = dict[float, tuple[EditRecord, ...]]
"""The rows of each guidance."""

COLUMNS: dict[str, str] = {
    "ratio": "changed-pixel error",
    "au_error": "AU MSE",
    "response": "response",
    "identity": "identity distance",
    "sharpness": "sharpness",
}
NOTES = (
    "Changed-pixel error: 0 is the exact answer, 1 is the unedited source. AU MSE: of the 12 "
    "intensities that the regressor reads, to the exact labels. Response: change of the asked "
    "unit, read from edits over read from exact answers. Identity distance: to the source, median. "
    "Sharpness: gradient energy over that of the answer in the changed pixels."
)


def evaluate_sweep(
    args: argparse.Namespace, editor_of: Callable[[argparse.Namespace], CheckpointEditor]
) -> str:
    """Measures a checkpoint at all ``args.guidance_sweep`` and writes ``args.json``.

    Returns the table. `editor_of(args)` loads the checkpoint after everything else was checked.

    Raises:
        MagicFaceError: arguments, checkpoint or output paths that cannot work, before any work.
    """
    check_destination(args.json)
    count = args.identities or IDENTITIES
    seeds = check_seeds(args.seed_start, count, allow_train=args.allow_train)
    editor, started = editor_of(args), time.perf_counter()
    loader = ArgumentsLoader.of(editor_of, args)
    guidances = tuple(sorted(set(args.guidance_sweep)))
    swept = measured_sweep(editor, seeds, guidances, loader, args.workers)
    report = {
        **sweep_report(swept),
        "checkpoint": checkpoint_facts(args.model, editor),
        "settings": {
            "seed_start": args.seed_start,
            "identities": count,
            **{name: value for name, value in sampling_facts(editor).items() if name != "guidance"},
        },
        "versions": versions(),
        "machine": machine(str(editor.checkpoint.device)),
        "seconds": round(time.perf_counter() - started, 2),
    }
    write_json(report, args.json)
    return sweep_table(report).markdown()


def sweep_jobs() -> tuple[EditJob, ...]:
    """Every AU alone at full strength, on a neutral face."""
    return tuple(
        job for job in synthetic_jobs() if job.kind == "single" and job.strength == FULL_STRENGTH
    )


def measured_sweep(
    editor: CheckpointEditor,
    seeds: Sequence[int],
    guidances: tuple[float, ...],
    loader: EditorLoader,
    workers: int = 0,
) -> Swept:
    """Rows of each guidance, in the order of the seeds; spread over processes by identity."""
    from tqdm import tqdm

    tasks = [Task(seed, sweep_jobs()) for seed in seeds]
    rows: Swept = dict.fromkeys(guidances, ())
    with worker_processes(workers) as executor:
        found: Iterator[Swept]
        if executor is None:
            bench = Bench(editor)
            found = (sweep_identity(bench, task, guidances) for task in tasks)
        else:
            each = [loader] * len(tasks), tasks, [guidances] * len(tasks)
            found = executor.map(_sweep, *each)
        for one in tqdm(found, total=len(tasks), unit="identity", desc="evaluate"):
            rows = {guidance: rows[guidance] + one[guidance] for guidance in guidances}
    return rows


def _sweep(loader: EditorLoader, task: Task, guidances: tuple[float, ...]) -> Swept:
    return sweep_identity(bench_of(loader), task, guidances)


def sweep_identity(bench: Bench, task: Task, guidances: tuple[float, ...]) -> Swept:
    """All edits of one identity at each guidance; its pictures are made once."""
    rows: Swept = dict.fromkeys(guidances, ())
    with one_thread():
        for case in bench.cases(task):
            for guidance in guidances:
                editor = copy.copy(bench.editor)
                editor.guidance = guidance  # type: ignore[attr-defined]  # a CheckpointEditor
                rows[guidance] += measure_case(editor, case, bench.reader).records
    return rows


def sweep_report(swept: Swept) -> dict[str, Any]:
    """The curve with 95 % intervals by bootstrap over identities, and the raw rows."""
    one = next(iter(swept.values()))
    people = People(one, resamples=RESAMPLES, seed=0)
    return {
        "format": SWEEP_FORMAT,
        "protocol_version": PROTOCOL_VERSION,
        "jobs_sha256": jobs_sha256(sweep_jobs()),
        "guidance": {
            f"{guidance:g}": curve_point(rows, people) for guidance, rows in swept.items()
        },
        "exact_answers": {
            "au_error": people.mean(one, lambda row: _au_error(row, "answer")).as_dict(),
            "identity": people.median(one, lambda row: row.identity_floor).as_dict(),
        },
        "edits": {f"{alpha:g}": edit_rows(rows) for alpha, rows in swept.items()},
    }


def curve_point(rows: Sequence[EditRecord], people: People) -> dict[str, Any]:
    """The numbers of one guidance; see `NOTES`."""
    values = {
        "ratio": people.ratio(rows),
        "au_error": people.mean(rows, lambda row: _au_error(row, "edit")),
        "response": people.ratio(rows, _read_change),
        "identity": people.median(rows, lambda row: row.identity),
        "sharpness": people.ratio(rows, sharpness_part),
    }
    return {name: value.as_dict() for name, value in values.items()}


def _au_error(row: EditRecord, part: str) -> float | None:
    """Mean square over the 12 units of what the regressor reads less what the answer shows."""
    if row.regressed is None:
        return None
    return float(np.square(getattr(row.regressed, part) - row.target).mean())


def _read_change(row: EditRecord) -> tuple[float, float]:
    """Change of the asked unit that is read from the edit, and from the exact answer."""
    if row.regressed is None:
        return 0.0, 0.0
    asked = np.flatnonzero(row.requested)
    before = row.regressed.source[asked].sum()
    edit, answer = (part[asked].sum() for part in (row.regressed.edit, row.regressed.answer))
    return float(edit - before), float(answer - before)


def sweep_table(report: Mapping[str, Any]) -> Table:
    """One row per guidance."""
    rows = [
        [guidance, *(estimate(values[name]) for name in COLUMNS)]
        for guidance, values in report["guidance"].items()
    ]
    exact = report["exact_answers"]
    settings = report["settings"]
    note = (
        f"Rendered identities {settings['identities']} from seed {settings['seed_start']}, 12 "
        f"single AUs at +{FULL_STRENGTH:g} each. {NOTES} The exact answers have AU MSE "
        f"{exact['au_error']['value']:.3f} and identity distance {exact['identity']['value']:.3f}."
    )
    title = f"{report['checkpoint']['name']}: AU guidance against exact answers"
    return Table(title, ["guidance", *COLUMNS.values()], rows, [note])
