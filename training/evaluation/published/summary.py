"""From the rows of a run to its numbers, each with a 95 % interval; needs no model and no GPU."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from magicface_core.aus import AU_ORDER

from ..intervals import RESAMPLES, Estimate, mean, ratios, sums_by_cluster, weights
from . import edit_table, response
from .edit_table import SCORES, EditTable, floor_tables
from .instruments import InstrumentChoice
from .response import Response
from .rows import EditRow

SUMMARY_FORMAT = "magicface-evaluation-summary-1"
FOUND, WORST = "edits with a face", "all edits, worst case"
GROUPS: tuple[tuple[str, int, int], ...] = (
    ("single AUs", 1, 1),
    ("pairs", 2, 2),
    ("triples", 3, 3),
    ("sets of 4 to 6", 4, 6),
)
"""Names of the groups, with the least and the most units that their edits change."""
Scores = Mapping[str, Estimate]


@dataclass(frozen=True)
class Failures:
    """Faces that were not found: sources by number, edits of the other sources by share."""

    sources: tuple[str, ...]
    edits: int
    share: Estimate


@dataclass(frozen=True)
class Summary:
    """The numbers of a run.

    scores    rows of the main table: all edits in both variants, then groups of edits
    floors    the same for pictures nobody edited
    au_error  [12] squared error of each AU over all edits with a face
    """

    settings: Mapping[str, Any]
    choice: InstrumentChoice
    people: int
    edits: int
    scores: Mapping[str, Scores]
    floors: Mapping[str, Scores]
    failures: Failures
    response: Response
    au_error: tuple[Estimate, ...]
    curves: Mapping[int, Sequence[tuple[float, float, float]]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": SUMMARY_FORMAT,
            "settings": dict(self.settings),
            "as_in_paper": self.choice.as_in_paper,
            "counts": {"identities": self.people, "edits": self.edits},
            "scores": _plain(self.scores),
            "floors": _plain(self.floors),
            "failures": {
                "sources_without_face": list(self.failures.sources),
                "edits_without_face": self.failures.edits,
                "share": self.failures.share.as_dict(),
            },
            "per_au": {
                f"AU{unit}": {
                    "slope": self.response.slope(index).as_dict(),
                    "linearity": self.response.linearity[index].as_dict(),
                    "squared_error": self.au_error[index].as_dict(),
                    "curve": [list(point) for point in self.curves[index]],
                }
                for index, unit in enumerate(AU_ORDER)
            },
            "leakage": {
                "units": list(AU_ORDER),
                "slopes": self.response.slopes.tolist(),
                "low": self.response.low.tolist(),
                "high": self.response.high.tolist(),
            },
            "definitions": {**edit_table.DEFINITIONS, **response.DEFINITIONS},
        }


def summarise_rows(
    rows: Sequence[EditRow],
    settings: Mapping[str, Any],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Summary:
    """Scores, floors, failures and response of a run's rows; `settings` are carried along."""
    table = EditTable.of(row for row in rows if row.kind != "floor")
    floors = floor_tables(table, (row for row in rows if row.kind == "floor"))
    drawn = weights(len(table.people), resamples, seed)
    scores = {FOUND: table_scores(table, drawn), WORST: table_scores(table, drawn, worst=True)}
    for name, least, most in GROUPS:
        group = (table.changed_units >= least) & (table.changed_units <= most)
        if group.any():
            scores[name] = table_scores(table.chosen(group), drawn)
    return Summary(
        settings=settings,
        choice=InstrumentChoice(rows[0].au_estimator, rows[0].identity_embedding, rows[0].parser),
        people=len(table.people),
        edits=len(table),
        scores=scores,
        floors={name: table_scores(floor, drawn) for name, floor in floors.items()},
        failures=_failures(table, drawn),
        response=response.response(table, drawn),
        au_error=_au_errors(table, drawn),
        curves=response.mean_responses(table),
    )


def table_scores(
    table: EditTable, drawn: np.ndarray, *, worst: bool = False
) -> dict[str, Estimate]:
    """The mean of each of `SCORES` over the edits of a table."""
    people = len(table.people)
    values = table.scores(worst=worst).T
    return {
        name: mean(column, table.person, people, drawn)
        for name, column in zip(SCORES, values, strict=True)
    }


def _failures(table: EditTable, drawn: np.ndarray) -> Failures:
    blind = sorted({table.people[place][0] for place in table.person[~table.source_face]})
    lost = np.where(table.source_face, ~table.edit_face, math.nan).astype(float)
    share = mean(lost, table.person, len(table.people), drawn)
    return Failures(tuple(blind), int(np.nansum(lost)), share)


def _au_errors(table: EditTable, drawn: np.ndarray) -> tuple[Estimate, ...]:
    squares = np.square(table.edit_aus - table.targets)
    sums, counts = sums_by_cluster(squares, table.person, len(table.people))
    ends = zip(*ratios(sums, counts, drawn), counts.sum(0), strict=True)
    return tuple(Estimate(float(v), float(a), float(b), int(n)) for v, a, b, n in ends)


def _plain(scores: Mapping[str, Scores]) -> dict[str, dict[str, Any]]:
    return {
        row: {name: estimate.as_dict() for name, estimate in values.items()}
        for row, values in scores.items()
    }
