"""How far edits of rendered faces move each action unit, next to what the exact answers do.

In two ways. By the pixels alone: how much of the exact change of each unit is in an edit (see
`metrics.mixture`). And as the embedded estimator reads edits and exact answers: its gains are not
calibrated, and what it reads of the answers (perfect edits) is the instrument's own error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..aus import ACTION_UNITS
from .intervals import Estimate, mean, ratios, weights
from .measure import FULL_STRENGTH, EditRecord
from .response import UNITS, SingleChanges, fitted_response
from .tables import Cell, Table

DEFINITIONS: dict[str, str] = {
    "response": "share of the AU's exact change of pixels that is in its edit, least squares over "
    "the exact changes of all single AUs: 1 is all of it, an exact answer has 1 and leaks 0",
    "leaks": "largest share of another AU's exact change in the edit, per unit asked",
    "slope": "change read by the embedded estimator per unit asked, through the origin, single AUs",
    "relative response": "change read in the edits over change read in the exact answers: 1 is "
    "right, whatever the estimator's gain",
}


def response_summary(records: Sequence[EditRecord], *, resamples: int, seed: int) -> dict[str, Any]:
    """Both ways; parts without any measurement are left out."""
    summary: dict[str, Any] = {"definition": DEFINITIONS}
    mixed = [
        record
        for record in records
        if record.kind == "single" and record.strength == FULL_STRENGTH and record.mixture
    ]
    if mixed:
        summary["pixels"] = _pixel_response(mixed, resamples, seed)
    if any(record.aus is not None for record in records):
        summary["estimated"] = _estimated_response(records, resamples, seed)
    return summary


def _pixel_response(
    singles: Sequence[EditRecord], resamples: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Per AU its response, and the largest leak with the AU it goes into; means over people."""
    jobs = list(dict.fromkeys(record.unit for record in singles))
    people = list(dict.fromkeys(record.seed for record in singles))
    sums, counts = np.zeros((2, len(people), len(jobs), len(jobs)))
    for record in singles:
        place = people.index(record.seed), jobs.index(record.unit)
        sums[place] += record.mixture
        counts[place] += 1
    drawn = weights(len(people), resamples, seed)
    shape = (len(jobs), len(jobs))
    flat = (len(people), len(jobs) ** 2)
    values, low, high = (
        part.reshape(shape) for part in ratios(sums.reshape(flat), counts.reshape(flat), drawn)
    )
    others = np.abs(values)
    np.fill_diagonal(others, -1.0)
    found = {}
    for row, job in enumerate(jobs):
        leak = int(others[row].argmax())
        found[job] = {
            "response": _at(values, low, high, (row, row)).as_dict(),
            "leak": (
                _at(values, low, high, (row, leak)) if leak != row else Estimate(math.nan)
            ).as_dict(),
            "into": jobs[leak] if leak != row else "",
            "row": dict(zip(jobs, values[row].tolist(), strict=True)),
        }
    return found


def _at(values: np.ndarray, low: np.ndarray, high: np.ndarray, at: tuple[int, int]) -> Estimate:
    return Estimate(float(values[at]), float(low[at]), float(high[at]))


def _estimated_response(records: Sequence[EditRecord], resamples: int, seed: int) -> dict[str, Any]:
    """Slopes, leakage and AU errors of edits and of exact answers."""
    read = [record for record in records if record.aus is not None]
    people = list(dict.fromkeys(record.seed for record in read))
    drawn = weights(len(people), resamples, seed)
    edits, answers = (_changes(read, people, part) for part in ("edit", "answer"))
    responses = {
        "edits": fitted_response(edits, len(people), drawn),
        "answers": fitted_response(answers, len(people), drawn),
    }
    products, expected = (
        part.sums(len(people))[0][:, np.arange(UNITS) * (UNITS + 1)] for part in (edits, answers)
    )
    relative = zip(*ratios(products, expected, drawn), edits.counts, strict=True)
    return {
        "estimator": "embedded",
        "au_error": {
            part: _au_error(read, people, part, drawn).as_dict() for part in ("edit", "answer")
        },
        "per_au": {
            unit.code: {
                "relative_response": Estimate(float(v), float(a), float(b), int(n)).as_dict(),
                **{name: found.slope(i).as_dict() for name, found in responses.items()},
            }
            for i, (unit, (v, a, b, n)) in enumerate(zip(ACTION_UNITS, relative, strict=True))
        },
        "leakage": {name: found.slopes.tolist() for name, found in responses.items()},
    }


def response_lines(response: Mapping[str, Any]) -> list[str]:
    """The summary as a Markdown table; nothing where there is none."""
    pixels, estimated = response.get("pixels", {}), response.get("estimated", {})
    if not pixels or not estimated:
        return []
    rows: list[list[Cell]] = []
    for code, values in pixels.items():
        read = estimated["per_au"][code]
        names = ("relative_response", "edits", "answers")
        cells = [_estimate(values["response"]), _estimate(values["leak"]), values["into"]]
        rows.append([code, *cells, *(_estimate(read[name]) for name in names)])
    head = [
        *("AU +4", "response", "leaks", "into"),
        *("relative response (embedded)", "slope of edits", "slope of answers"),
    ]
    errors = estimated["au_error"]
    note = (
        f"AU MSE to the exact labels (embedded): edits {errors['edit']['value']:.3f}, exact "
        f"answers {errors['answer']['value']:.3f}, which is the estimator's own error."
    )
    table = Table("Response to single AUs", head, rows, [note], (2,), response["definition"])
    return ["", table.markdown().rstrip()]


def _changes(records: Sequence[EditRecord], people: Sequence[int], part: str) -> SingleChanges:
    """The single edits (or their answers) as changes; sources are neutral, so asked is exact."""
    singles = [record for record in records if record.kind == "single"]
    requested = np.array([record.requested for record in singles]).reshape(-1, UNITS)
    units = requested.nonzero()[1]
    measured = [getattr(record.aus, part) - record.aus.source for record in singles if record.aus]
    strengths = requested.sum(1)
    person = np.array([people.index(record.seed) for record in singles], int)
    return SingleChanges(units, strengths, strengths, np.array(measured).reshape(-1, UNITS), person)


def _au_error(
    records: Sequence[EditRecord], people: Sequence[int], part: str, drawn: np.ndarray
) -> Estimate:
    """Mean squared error to the labels of the exact answer."""
    read = np.array([getattr(record.aus, part) for record in records])
    labels = np.array([record.target for record in records])
    person = np.array([people.index(record.seed) for record in records], int)
    return mean(np.square(read - labels).mean(1), person, len(people), drawn)


def _estimate(values: Mapping[str, Any]) -> Estimate:
    return Estimate(values["value"], values["low"], values["high"])
