"""From the rows of the synthetic protocol to its numbers, as JSON and as a Markdown table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..intervals import Estimate
from ..metrics import BOOTSTRAP_RESAMPLES, CHANGE_THRESHOLD, pooled
from ..records import EditRecord
from ..tables import Cell, Table, shown
from .pooling import People, sharpness_part
from .response import response_lines, response_summary

REPORT_FORMAT = "magicface-evaluation-2"
ALL = "all edits"
BY_STRENGTH = ("single", "negative")
"""Kinds whose strengths are reported apart."""
HEAD = ("edit", "changed-pixel error", "floor", "mask floor", "sharpness", "changed pixels")
NOTES = (
    "0 is the exact answer, 1 is the unedited source. Floor: the autoencoder's round trip of the "
    "answer, pasted; mask floor: the answer itself, pasted. Sharpness: gradient energy of the edit "
    "over that of the answer in the changed pixels; 1 is as sharp, less is blurred."
)


def summarise(
    records: Sequence[EditRecord],
    *,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
    held_out: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The numbers of a run, with 95 % intervals by bootstrap over identities (NaN where undefined).

    ``held_out`` is the regressor's own error, which is carried along.
    ``scores`` pools all edits and every group of `group_of`, ``per_edit`` one edit over all
    identities; see `scores_of` for what each holds.
    """
    people = People(records, resamples=resamples, seed=seed)
    groups = {ALL: list(records), **_grouped(records)}
    per_edit: dict[str, list[EditRecord]] = {}
    for record in records:
        per_edit.setdefault(record.job, []).append(record)
    return {
        "scores": {name: scores_of(rows, people) for name, rows in groups.items()},
        "per_edit": {
            name: {
                "kind": rows[0].kind,
                "strength": rows[0].strength,
                "unit": rows[0].unit,
                **scores_of(rows, people),
            }
            for name, rows in per_edit.items()
        },
        "identity": people.median(records, lambda record: record.identity).as_dict(),
        "identity_floor": people.median(records, lambda record: record.identity_floor).as_dict(),
        "still": people.mean(records, lambda record: record.still).as_dict(),
        "still_largest": _largest(record.still for record in records),
        "pose": people.mean(records, lambda record: record.pose).as_dict(),
        "pose_floor": people.mean(records, lambda record: record.pose_floor).as_dict(),
        "background_rmse": _largest(record.background.rmse for record in records),
        "background_largest": _largest(record.background.largest for record in records),
        "undetected": len({r.seed for r in records if not r.source_detected}),
        "undetected_edits": sum(not record.edit_detected for record in records),
        "counts": {
            "identities": len(people.seeds),
            "edits": len(records),
            "changed_pixels": sum(record.edit.pixels for record in records),
        },
        "definition": {
            "change_threshold": CHANGE_THRESHOLD,
            "bootstrap_resamples": resamples,
            "interval": "95 % percentile, identities resampled",
            "scores": NOTES,
        },
        "response": response_summary(records, held_out=held_out, resamples=resamples, seed=seed),
    }


def group_of(record: EditRecord) -> str:
    """Which row of the table an edit is pooled into: "single +4", "negative -4", "two", ..."""
    if record.kind in BY_STRENGTH:
        return f"{record.kind} {record.strength:+g}"
    return record.kind


def _grouped(records: Iterable[EditRecord]) -> dict[str, list[EditRecord]]:
    groups: dict[str, list[EditRecord]] = {}
    for record in records:
        groups.setdefault(group_of(record), []).append(record)
    return groups


def scores_of(records: Sequence[EditRecord], people: People) -> dict[str, Any]:
    """Changed-pixel error ratio and sharpness as estimates, both floors, and changed pixels."""
    return {
        "ratio": people.ratio(records).as_dict(),
        "sharpness": people.ratio(records, sharpness_part).as_dict(),
        "floor": pooled(record.floor for record in records).ratio,
        "mask_floor": pooled(record.mask_floor for record in records).ratio,
        "pixels": pooled(record.edit for record in records).pixels,
    }


def _largest(values: Iterable[float]) -> float:
    """The worst edit counts; NaN (no background at all) is left out."""
    return max((value for value in values if math.isfinite(value)), default=math.nan)


def edit_rows(records: Iterable[EditRecord]) -> list[dict[str, Any]]:
    """The raw rows as plain values, enough to pool, bootstrap and compare runs anew."""
    return [
        {
            "seed": record.seed,
            "edit": record.job,
            "kind": record.kind,
            "strength": record.strength,
            "source": list(record.known),
            "requested": list(record.requested),
            "error": record.edit.error,
            "change": record.edit.change,
            "pixels": record.edit.pixels,
            "floor_error": record.floor.error,
            "mask_floor_error": record.mask_floor.error,
            "edit_energy": record.energy.edit,
            "answer_energy": record.energy.answer,
            "background_rmse": record.background.rmse,
            "still": record.still,
            "pose": record.pose,
            "pose_floor": record.pose_floor,
            "identity": record.identity,
            "identity_floor": record.identity_floor,
            "edit_detected": record.edit_detected,
        }
        for record in records
    ]


def markdown_table(report: Mapping[str, Any]) -> str:
    """The tables of a report: groups first, then one row per edit; identity and counts below."""
    rows = [_row(f"**{name}**", scores) for name, scores in report["scores"].items()]
    rows += [_row(name, scores) for name, scores in report["per_edit"].items()]
    table = Table("Errors to the exact answers", HEAD, rows, _notes(report))
    return "\n".join([table.markdown().rstrip(), *response_lines(report["response"])])


def _row(name: str, scores: Mapping[str, Any]) -> list[Cell]:
    return [
        name,
        estimate(scores["ratio"]),
        scores["floor"],
        scores["mask_floor"],
        estimate(scores["sharpness"]),
        str(scores["pixels"]),
    ]


def estimate(values: Mapping[str, Any]) -> Estimate:
    """What `Estimate.as_dict` wrote, whole again; null is NaN."""
    value, low, high = (
        math.nan if values[name] is None else values[name] for name in ("value", "low", "high")
    )
    return Estimate(value, low, high, values["count"])


def _notes(report: Mapping[str, Any]) -> list[str]:
    counts = report["counts"]
    identity, floor, still, pose, turned = (
        shown(estimate(report[name]))
        for name in ("identity", "identity_floor", "still", "pose", "pose_floor")
    )
    return [
        f"Identities {counts['identities']}, edits {counts['edits']}. {NOTES}",
        f"Identity distance to the source, median: {identity}, of the exact answers {floor}.",
        f"Background: RMSE to the answer where it leaves pixels outside the face alone {still}, "
        f"worst edit {report['still_largest']:.4f}; difference to the source outside the mask, "
        f"worst edit {report['background_largest']:.4f}.",
        f"Head pose: RMSE to the answer's face mesh {pose} degrees; an unedited source has "
        f"{turned}, which is what the expression alone does to the mesh.",
        f"Sources without a detected face: {report['undetected']} of {counts['identities']}; "
        f"edits without: {report['undetected_edits']} of {counts['edits']}.",
    ]
