"""The files of a report: Markdown, CSV, LaTeX, JSON and pictures, each whole or not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magicface_core.files import write_file
from magicface_core.pictures.images import save_image

from ..tables import Table, write_json
from .comparison import Comparison, compare
from .guidance_sweep import Sweep, open_sweep, sweep_paths
from .plots import guidance_chart, run_charts
from .run_folder import RunFolder, open_run
from .summary import Summary, summarise_rows
from .summary_tables import leakage_table, score_table, unit_table

SHOWN = ("scores", "action_units")
"""Tables of a run that are worth a terminal; the others are in its files."""


def report_run(run: RunFolder) -> str:
    """Writes a run's report into its folder; returns its main tables as Markdown."""
    summary = summarise_rows(list(run.rows()), run.settings)
    tables = {
        "scores": score_table(summary),
        "action_units": unit_table(summary),
        "leakage": leakage_table(summary),
    }
    charts = run_charts(summary)
    for name, chart in charts.items():
        save_image(chart, run.path / name)
    _write_tables(run.path, "report", tables, list(charts))
    _write_numbers(run.path / "report.json", summary, run.versions)
    return "\n".join(tables[name].markdown() for name in SHOWN)


def report_sweep(folder: Path, guidances: Sequence[float] | None = None) -> str:
    """Writes the report of every run of a sweep and the curve over them; returns its table."""
    for path in sweep_paths(folder).values():
        report_run(open_run(path))
    sweep: Sweep = open_sweep(folder, guidances)
    save_image(guidance_chart(sweep), folder / "guidance.png")
    write_json(sweep.as_dict(), folder / "sweep.json")
    return _write_tables(folder, "sweep", {"guidance": sweep.table()}, ["guidance.png"])


def report_comparison(run: RunFolder, baseline: RunFolder) -> str:
    """Writes how a run differs from a baseline into the run's folder; returns the table."""
    comparison: Comparison = compare(baseline, run)
    name = f"comparison-{baseline.path.resolve().name}"
    write_json(comparison.as_dict(), run.path / f"{name}.json")
    return _write_tables(run.path, name, {name: comparison.table()}, [])


def _write_tables(
    folder: Path, name: str, tables: Mapping[str, Table], pictures: Sequence[str]
) -> str:
    """`name`.md and `name`.tex of all tables, a CSV file of each."""
    for part, table in tables.items():
        write_file(folder / f"{part}.csv", table.csv())
    write_file(folder / f"{name}.tex", "\n".join(table.latex() for table in tables.values()))
    text = "\n".join(table.markdown() for table in tables.values())
    links = "".join(f"![{Path(picture).stem}]({picture})\n\n" for picture in pictures)
    write_file(folder / f"{name}.md", f"{text}\n{links}".rstrip() + "\n")
    return text


def _write_numbers(path: Path, summary: Summary, versions: Mapping[str, Any]) -> None:
    write_json({**summary.as_dict(), "versions": dict(versions)}, path)
