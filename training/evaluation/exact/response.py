"""How far edits of rendered faces move each action unit, next to what the exact answers do.

In three ways. By a regressor trained on exact labels (`au_regressor`), the one that criteria look
at. By the pixels alone: how much of the exact change of each unit is in an edit (see
`metrics.mixture`); no network has a say, but a blurred edit of one unit resembles others. And as
the embedded estimator for photographs reads them. What the last and the first read of the answers
(perfect edits) is the instrument's own error.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from magicface_core.aus import ACTION_UNITS

from ..intervals import Estimate, mean, ratios, weights
from ..published.response import UNITS, Response, SingleChanges, fitted_response
from ..records import FULL_STRENGTH, AUReadings, EditRecord
from ..tables import Cell, Table

DEFINITIONS: dict[str, str] = {
    "response": "share of the AU's exact change of pixels that is in its edit, least squares over "
    "the exact changes of all single AUs: 1 is all of it, an exact answer has 1 and leaks 0",
    "leaks": "largest share of another AU's exact change in the edit, per unit asked",
    "slope": "change read per unit asked, through the origin, over the single AUs",
    "relative response": "change read in the edits over change read in the exact answers: 1 is "
    "right, whatever the instrument's gain",
    "leakage": "change read of another unit per unit asked, as the slope; the largest is named",
    "regressed": "instrument: the regressor trained on exact labels, which reads rendered faces",
    "estimated": "instrument: the embedded estimator, made for photographs",
}
INSTRUMENTS: dict[str, str] = {"regressed": "regressor", "estimated": "embedded"}
"""Names in the summary and in tables."""


def response_summary(
    records: Sequence[EditRecord],
    *,
    resamples: int,
    seed: int,
    held_out: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All three ways; parts without any measurement are left out.

    ``held_out`` is the regressor's own error, which is carried along.
    """
    summary: dict[str, Any] = {"definition": DEFINITIONS}
    mixed = [
        record
        for record in records
        if record.kind == "single" and record.strength == FULL_STRENGTH and record.mixture
    ]
    if mixed:
        summary["pixels"] = _pixel_response(mixed, resamples, seed)
    for name in INSTRUMENTS:
        read = [record for record in records if _readings(record, name) is not None]
        if read:
            summary[name] = _read_response(read, name, resamples, seed)
    if held_out is not None and "regressed" in summary:
        summary["regressed"]["held_out"] = dict(held_out)
    return summary


def _readings(record: EditRecord, name: str) -> AUReadings | None:
    return record.regressed if name == "regressed" else record.aus


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


def _read_response(
    read: Sequence[EditRecord], name: str, resamples: int, seed: int
) -> dict[str, Any]:
    """Slopes, leakage and AU errors of edits and of exact answers by one instrument."""
    people = list(dict.fromkeys(record.seed for record in read))
    drawn = weights(len(people), resamples, seed)
    edits, answers = (_changes(read, people, name, part) for part in ("edit", "answer"))
    found = fitted_response(edits, len(people), drawn)
    exact = fitted_response(answers, len(people), drawn)
    products, expected = (
        part.sums(len(people))[0][:, np.arange(UNITS) * (UNITS + 1)] for part in (edits, answers)
    )
    relative = zip(*ratios(products, expected, drawn), edits.counts, strict=True)
    return {
        "au_error": {
            part: _au_error(read, people, name, part, drawn).as_dict()
            for part in ("edit", "answer")
        },
        "per_au": {
            unit.code: {
                "relative_response": Estimate(float(v), float(a), float(b), int(n)).as_dict(),
                "edits": found.slope(i).as_dict(),
                "answers": exact.slope(i).as_dict(),
                **_largest_leak(found, i),
                "leak_of_answers": _largest_leak(exact, i)["leak"],
            }
            for i, (unit, (v, a, b, n)) in enumerate(zip(ACTION_UNITS, relative, strict=True))
            if n
        },
        "leakage": {"edits": found.slopes.tolist(), "answers": exact.slopes.tolist()},
    }


def _largest_leak(found: Response, index: int) -> dict[str, Any]:
    """The largest response of another unit, and which."""
    others = np.nan_to_num(np.abs(found.slopes[index]), nan=-1.0)
    others[index] = -1.0
    place = index, int(others.argmax())
    leak = _at(found.slopes, found.low, found.high, place)
    return {"leak": leak.as_dict(), "into": ACTION_UNITS[place[1]].code}


def response_lines(response: Mapping[str, Any]) -> list[str]:
    """The summary as Markdown tables; nothing where there is none."""
    tables = []
    if "pixels" in response:
        rows: list[list[Cell]] = [
            [unit, _estimate(values["response"]), _estimate(values["leak"]), values["into"]]
            for unit, values in response["pixels"].items()
        ]
        head = ["AU +4", "response", "leaks", "into"]
        definitions = {name: DEFINITIONS[name] for name in ("response", "leaks")}
        tables.append(Table("Response by pixels", head, rows, (), (2,), definitions))
    for name, title in INSTRUMENTS.items():
        if name in response:
            tables.append(_read_table(response[name], name, title))
    if "regressed" in response:
        tables.append(_leakage_table(response["regressed"]["leakage"]["edits"]))
    return [line for table in tables for line in ("", table.markdown().rstrip())]


def _read_table(read: Mapping[str, Any], name: str, title: str) -> Table:
    columns = ("relative_response", "edits", "answers", "leak")
    rows: list[list[Cell]] = [
        [
            unit,
            *(_estimate(values[column]) for column in columns),
            values["into"],
            _estimate(values["leak_of_answers"]),
        ]
        for unit, values in read["per_au"].items()
    ]
    head = [
        *("AU", "relative response", "slope of edits", "slope of answers"),
        *("leakage of edits", "into", "leakage of answers"),
    ]
    errors = read["au_error"]
    note = (
        f"AU MSE to the exact labels ({title}): edits {errors['edit']['value']:.3f}, exact "
        f"answers {errors['answer']['value']:.3f}, which is the instrument's own error."
    )
    if "held_out" in read:
        note += (
            f" On people held out of its training: MSE {read['held_out']['mse']:.3f}, largest "
            f"leakage {read['held_out']['leakage']:.3f} ({read['held_out']['leaks']})."
        )
    names = ("slope", "relative response", "leakage", name)
    definitions = {key: DEFINITIONS[key] for key in names}
    return Table(f"Response by {title}", head, rows, [note], (2,), definitions)


def _leakage_table(slopes: Sequence[Sequence[float]]) -> Table:
    """12 x 12: rows the unit asked for, columns the change read of each."""
    codes = [unit.code for unit in ACTION_UNITS]
    rows: list[list[Cell]] = [[code, *row] for code, row in zip(codes, slopes, strict=True)]
    return Table("Leakage by regressor", ["asked", *codes], rows, (), (2,))


def _changes(
    records: Sequence[EditRecord], people: Sequence[int], name: str, part: str
) -> SingleChanges:
    """The single edits (or their answers) as changes; sources are neutral, so asked is exact."""
    singles = [record for record in records if record.kind == "single"]
    requested = np.array([record.requested for record in singles]).reshape(-1, UNITS)
    units = requested.nonzero()[1]
    measured = [_read(record, name, part) - _read(record, name, "source") for record in singles]
    strengths = requested.sum(1)
    person = np.array([people.index(record.seed) for record in singles], int)
    return SingleChanges(units, strengths, strengths, np.array(measured).reshape(-1, UNITS), person)


def _au_error(
    records: Sequence[EditRecord], people: Sequence[int], name: str, part: str, drawn: np.ndarray
) -> Estimate:
    """Mean squared error to the labels of the exact answer."""
    read = np.array([_read(record, name, part) for record in records])
    labels = np.array([record.target for record in records])
    person = np.array([people.index(record.seed) for record in records], int)
    return mean(np.square(read - labels).mean(1), person, len(people), drawn)


def _read(record: EditRecord, name: str, part: str) -> np.ndarray:
    found: np.ndarray = getattr(_readings(record, name), part)
    return found


def _estimate(values: Mapping[str, Any]) -> Estimate:
    return Estimate(values["value"], values["low"], values["high"], values["count"])
