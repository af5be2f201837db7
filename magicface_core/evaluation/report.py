"""From the rows of a run to its numbers, as JSON and as a Markdown table."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..files import write_file
from .measure import EditRecord
from .metrics import (
    BOOTSTRAP_RESAMPLES,
    CHANGE_THRESHOLD,
    median_interval,
    pooled,
    ratio_interval,
)
from .synthetic_response import response_lines, response_summary

REPORT_FORMAT = "magicface-evaluation-1"
_COLUMNS = ("_interval", "_floor", "_mask_floor", "_changed_pixels")


def summarise(
    records: Sequence[EditRecord], *, resamples: int = BOOTSTRAP_RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """The numbers of a run, with 95 % intervals by bootstrap over identities (NaN where undefined).

    ``changed_error_ratio`` and the floors pool all edits of all identities; ``per_au`` and
    ``per_combination`` pool one edit over all identities. See `metrics.ChangedError` for ratios,
    `measure.EditRecord` for floors.
    """
    singles = [record for record in records if record.kind == "single"]
    combinations = [record for record in records if record.kind == "combination"]
    options = {"resamples": resamples, "seed": seed}
    ratio, interval = _ratio(records, **options)
    single_ratio, single_interval = _ratio(singles, **options)
    combination_ratio, combination_interval = _ratio(combinations, **options)
    return {
        "changed_error_ratio": ratio,
        "changed_error_ratio_interval": interval,
        "floor_ratio": pooled(record.floor for record in records).ratio,
        "mask_floor_ratio": pooled(record.mask_floor for record in records).ratio,
        "single_au_ratio": single_ratio,
        "single_au_ratio_interval": single_interval,
        "combination_ratio": combination_ratio,
        "combination_ratio_interval": combination_interval,
        **_per_job("per_au", singles, **options),
        **_per_job("per_combination", combinations, **options),
        **_identity(records, **options),
        "background_rmse": _largest(record.background.rmse for record in records),
        "background_largest": _largest(record.background.largest for record in records),
        "undetected": len({r.seed for r in records if not r.source_detected}),
        "undetected_edits": sum(not record.edit_detected for record in records),
        "counts": {
            "identities": len({record.seed for record in records}),
            "edits": len(records),
            "changed_pixels": sum(record.edit.pixels for record in records),
        },
        "definition": {
            "change_threshold": CHANGE_THRESHOLD,
            "bootstrap_resamples": resamples,
            "interval": "95 % percentile, identities resampled",
        },
        "response": response_summary(records, **options),
    }


def _ratio(
    records: Sequence[EditRecord], *, resamples: int, seed: int
) -> tuple[float, tuple[float, float]]:
    """Pooled ratio and its interval."""
    sums: dict[int, list[float]] = {}
    for record in records:
        row = sums.setdefault(record.seed, [0.0, 0.0])
        row[0] += record.edit.error
        row[1] += record.edit.change
    errors, changes = np.array(list(sums.values())).reshape(-1, 2).T
    interval = ratio_interval(errors, changes, resamples=resamples, seed=seed)
    return pooled(record.edit for record in records).ratio, interval


def _per_job(
    name: str, records: Sequence[EditRecord], *, resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Ratio, interval, floors and changed pixels of every edit, in the order of the jobs."""
    columns: dict[str, dict[str, Any]] = {f"{name}{suffix}": {} for suffix in ("", *_COLUMNS)}
    for job in dict.fromkeys(record.job for record in records):
        rows = [record for record in records if record.job == job]
        ratio, interval = _ratio(rows, resamples=resamples, seed=seed)
        values = (
            ratio,
            interval,
            pooled(record.floor for record in rows).ratio,
            pooled(record.mask_floor for record in rows).ratio,
            pooled(record.edit for record in rows).pixels,
        )
        for column, value in zip(columns.values(), values, strict=True):
            column[job] = value
    return columns


def _identity(records: Sequence[EditRecord], *, resamples: int, seed: int) -> dict[str, Any]:
    """Median distance to the source, over the edits (and answers) in which both show a face."""
    rows: dict[int, list[float | None]] = {}
    for record in records:
        rows.setdefault(record.seed, []).append(record.identity)
    values = np.array(list(rows.values()), dtype=float)
    return {
        "identity_median": _median(record.identity for record in records),
        "identity_interval": median_interval(values, resamples=resamples, seed=seed),
        "identity_floor_median": _median(record.identity_floor for record in records),
    }


def _median(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return float(np.median(found)) if found else math.nan


def _largest(values: Iterable[float]) -> float:
    """The worst edit counts; NaN (no background at all) is left out."""
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def edit_rows(records: Iterable[EditRecord]) -> list[dict[str, Any]]:
    """The raw rows as plain values, enough to pool, bootstrap and compare runs anew."""
    return [
        {
            "seed": record.seed,
            "edit": record.job,
            "error": record.edit.error,
            "change": record.edit.change,
            "pixels": record.edit.pixels,
            "floor_error": record.floor.error,
            "mask_floor_error": record.mask_floor.error,
            "background_rmse": record.background.rmse,
            "identity": record.identity,
            "identity_floor": record.identity_floor,
            "edit_detected": record.edit_detected,
        }
        for record in records
    ]


def markdown_table(report: dict[str, Any]) -> str:
    """The table of a report: one row per edit, the pooled rows first, identity and counts below."""
    low, high = report["changed_error_ratio_interval"]
    lines = [
        "| edit | changed-pixel error | 95 % interval | floor | mask floor | changed pixels |",
        "|---|---:|---:|---:|---:|---:|",
        _row(
            "**all edits**",
            report["changed_error_ratio"],
            (low, high),
            report["floor_ratio"],
            report["mask_floor_ratio"],
            report["counts"]["changed_pixels"],
        ),
    ]
    for name, key in (("all single AUs", "single_au"), ("all combinations", "combination")):
        lines.append(_row(name, report[f"{key}_ratio"], report[f"{key}_ratio_interval"]))
    for key, suffix in (("per_au", " +4"), ("per_combination", "")):
        for name, ratio in report[key].items():
            extra = (report[key + column][name] for column in _COLUMNS)
            lines.append(_row(name + suffix, ratio, *extra))
    lines += ["", *_notes(report)]
    return "\n".join([*lines, *response_lines(report["response"])])


def _row(
    name: str,
    ratio: float,
    interval: Sequence[float],
    floor: float | None = None,
    mask_floor: float | None = None,
    pixels: int | None = None,
) -> str:
    bounds = " to ".join(f"{bound:.3f}" for bound in interval)
    floors = ("" if value is None else f"{value:.3f}" for value in (floor, mask_floor))
    cells = (name, f"{ratio:.3f}", bounds, *floors, "" if pixels is None else str(pixels))
    return f"| {' | '.join(cells)} |"


def _notes(report: dict[str, Any]) -> list[str]:
    counts = report["counts"]
    low, high = report["identity_interval"]
    return [
        f"Identities {counts['identities']}, edits {counts['edits']}; 0 is the exact answer, 1 is "
        "the unedited source. Floor: the autoencoder's round trip of the answer, pasted; mask "
        "floor: the answer itself, pasted.",
        f"Identity distance to the source, median: {report['identity_median']:.3f} "
        f"({low:.3f} to {high:.3f}), of the exact answers {report['identity_floor_median']:.3f}. "
        f"Background error outside the mask, worst edit: {report['background_largest']:.4f}.",
        f"Sources without a detected face: {report['undetected']} of {counts['identities']}; "
        f"edits without: {report['undetected_edits']} of {counts['edits']}.",
    ]


def write_json(report: dict[str, Any], path: Path) -> None:
    """Writes the report whole or not at all; undefined numbers (NaN) become null.

    Raises:
        OutputError: the file cannot be written.
    """
    write_file(path, json.dumps(_plain(report), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
