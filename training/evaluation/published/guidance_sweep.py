"""The paper's Table IV for any checkpoint: scores over the AU guidance alpha, a run for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..records import EvaluationError
from ..tables import Cell, Table
from .edit_table import SCORES
from .run_folder import RUN_FILE, open_run
from .summary import FOUND, Summary, summarise_rows
from .summary_tables import SCORE_DECIMALS, about, column_heads, name_of

SWEEP_FORMAT = "magicface-evaluation-sweep-1"
PREFIX = "guidance-"
SHAPE = (
    "In the paper's Table IV the AU error falls from guidance 0.5 to 3.0 and rises beyond it; "
    "compare the shape of the curve, not its values, unless the instruments are the paper's."
)


@dataclass(frozen=True)
class Sweep:
    """Summaries of runs that differ in guidance alone, from the weakest on."""

    summaries: Mapping[float, Summary]

    @property
    def one(self) -> Summary:
        """Any of them, for what they share."""
        return next(iter(self.summaries.values()))

    def table(self) -> Table:
        """One row per guidance."""
        heads = column_heads(self.one.choice)
        rows: list[list[Cell]] = [
            [f"{guidance:g}", *(summary.scores[FOUND][key] for key in SCORES)]
            for guidance, summary in self.summaries.items()
        ]
        notes = [about(self.one).replace(_guidance_text(self.one), "Guidance as listed"), SHAPE]
        head = ["guidance", *(heads[key] for key in SCORES)]
        title = f"{name_of(self.one.settings)}: guidance sweep"
        return Table(title, head, rows, notes, SCORE_DECIMALS)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        runs = {f"{guidance:g}": one.as_dict() for guidance, one in self.summaries.items()}
        return {"format": SWEEP_FORMAT, "guidance": runs}


def run_path(folder: Path, guidance: float) -> Path:
    """Where the run of one guidance lies in a sweep's folder."""
    return folder / f"{PREFIX}{guidance:g}"


def sweep_paths(folder: Path) -> dict[float, Path]:
    """The runs of a sweep's folder by guidance, weakest first; empty where it is none."""
    found = {}
    for path in folder.glob(f"{PREFIX}*"):
        if (path / RUN_FILE).is_file():
            found[float(path.name.removeprefix(PREFIX))] = path
    return dict(sorted(found.items()))


def open_sweep(folder: Path, guidances: Sequence[float] | None = None) -> Sweep:
    """The summaries of a sweep's runs, all that are there or the ones asked for.

    Raises:
        EvaluationError: no run is there, or one cannot be read.
    """
    paths = sweep_paths(folder)
    chosen = sorted(guidances) if guidances is not None else list(paths)
    if not chosen or any(guidance not in paths for guidance in chosen):
        raise EvaluationError(f'"{folder}" holds no runs of a guidance sweep.')
    summaries = {}
    for guidance in chosen:
        run = open_run(paths[guidance])
        summaries[guidance] = summarise_rows(list(run.rows()), run.settings)
    return Sweep(summaries)


def _guidance_text(summary: Summary) -> str:
    return f"Guidance {summary.settings['sampling']['guidance']:g}"
