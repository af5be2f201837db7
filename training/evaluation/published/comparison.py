"""Two runs compared edit by edit: the difference of every score with its interval.

Only edits that both runs have count, and both are resampled with the same identities, so what makes
a face or an expression hard for either cancels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from magicface_core.aus import ACTION_UNITS, AU_ORDER

from ..intervals import RESAMPLES, Estimate, differences, mean, ratios, weights
from ..records import EvaluationError
from ..tables import Cell, Table
from . import edit_table
from .edit_table import SCORES, EditTable
from .instruments import InstrumentChoice
from .response import UNITS, single_changes
from .rows import EditRow
from .run_folder import RunFolder
from .summary_tables import column_heads, name_of

COMPARISON_FORMAT = "magicface-evaluation-comparison-1"
MUST_AGREE = ("instruments", "measured")


@dataclass(frozen=True)
class Pair:
    """One number in both runs, and second minus first."""

    first: Estimate
    second: Estimate
    difference: Estimate


@dataclass(frozen=True)
class Comparison:
    """Paired numbers of two runs over the edits that both have.

    scores  in the order of `SCORES`, over edits with a face in both runs
    worst   the same with lost faces as the worst case
    slopes  [12] response slopes
    """

    names: tuple[str, str]
    choice: InstrumentChoice
    people: int
    edits: int
    scores: tuple[Pair, ...]
    worst: tuple[Pair, ...]
    slopes: tuple[Pair, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "format": COMPARISON_FORMAT,
            "runs": list(self.names),
            "counts": {"identities": self.people, "edits": self.edits},
            "scores": _plain(SCORES, self.scores),
            "scores_worst_case": _plain(SCORES, self.worst),
            "slopes": _plain([f"AU{unit}" for unit in AU_ORDER], self.slopes),
            "difference": "second minus first",
        }

    def table(self) -> Table:
        """Scores in both variants, then response slopes."""
        heads = column_heads(self.choice)
        rows: list[list[Cell]] = []
        for variant, pairs in (("", self.scores), (", worst case", self.worst)):
            for key, pair in zip(SCORES, pairs, strict=True):
                rows.append([f"{heads[key]}{variant}", *vars(pair).values()])
        for unit, pair in zip(ACTION_UNITS, self.slopes, strict=True):
            rows.append([f"{unit.code}: response slope", *vars(pair).values()])
        first, second = self.names
        notes = [
            f"Paired over {self.people} identities and {self.edits} edits that both runs have; "
            "an interval of the difference that leaves out 0 tells them apart. Scores: lower is "
            "better; slopes: 1 is right.",
            f"In brackets: {edit_table.DEFINITIONS['in brackets']}, the same for both.",
        ]
        head = ["", first, second, "difference"]
        return Table(f"{second} compared with {first}", head, rows, notes)


def compare(
    first: RunFolder, second: RunFolder, *, resamples: int = RESAMPLES, seed: int = 0
) -> Comparison:
    """Second compared with first.

    Raises:
        EvaluationError: other instruments, or no edit in common.
    """
    for key in MUST_AGREE:
        if first.settings[key] != second.settings[key]:
            raise EvaluationError(
                f'"{first.path}" and "{second.path}" cannot be compared: their {key} differ '
                f"({first.settings[key]} and {second.settings[key]})."
            )
    rows, others = _common(first, second)
    tables = EditTable.of(rows), EditTable.of(others)
    drawn = weights(len(tables[0].people), resamples, seed)
    instruments = rows[0]
    return Comparison(
        names=_names(first, second),
        choice=InstrumentChoice(
            instruments.au_estimator, instruments.identity_embedding, instruments.parser
        ),
        people=len(tables[0].people),
        edits=len(rows),
        scores=_scores(*tables, drawn, worst=False),
        worst=_scores(*tables, drawn, worst=True),
        slopes=_slopes(*tables, drawn),
    )


def _common(first: RunFolder, second: RunFolder) -> tuple[list[EditRow], list[EditRow]]:
    """The edits that both runs have, in the first one's order."""
    mine = {_key(row): row for row in first.rows() if row.kind != "floor"}
    theirs = {_key(row): row for row in second.rows() if row.kind != "floor"}
    shared = [key for key in mine if key in theirs]
    if not shared:
        raise EvaluationError(
            f'"{first.path}" and "{second.path}" have no edit in common: no picture of the same '
            "sha256 under the same change."
        )
    return [mine[key] for key in shared], [theirs[key] for key in shared]


def _key(row: EditRow) -> tuple[str, tuple[float, ...]]:
    return row.identity_sha256, row.requested


def _scores(
    first: EditTable, second: EditTable, drawn: np.ndarray, *, worst: bool
) -> tuple[Pair, ...]:
    mine, theirs = first.scores(worst=worst), second.scores(worst=worst)
    both = np.isfinite(mine) & np.isfinite(theirs)
    mine, theirs = np.where(both, mine, np.nan), np.where(both, theirs, np.nan)
    people, person = len(first.people), first.person
    return tuple(
        Pair(*(mean(values, person, people, drawn) for values in (a, b, b - a)))
        for a, b in zip(mine.T, theirs.T, strict=True)
    )


def _slopes(first: EditTable, second: EditTable, drawn: np.ndarray) -> tuple[Pair, ...]:
    """Of edits with a face in both runs."""
    seen = first.edit_face & second.edit_face
    diagonal = np.arange(UNITS) * (UNITS + 1)
    people = len(first.people)
    mine, theirs = (
        (products[:, diagonal], squares[:, diagonal])
        for products, squares in (
            single_changes(table.chosen(seen)).sums(people) for table in (first, second)
        )
    )
    columns = (ratios(*mine, drawn), ratios(*theirs, drawn), differences(mine, theirs, drawn))
    return tuple(
        Pair(
            *(
                Estimate(float(value[index]), float(low[index]), float(high[index]))
                for value, low, high in columns
            )
        )
        for index in range(UNITS)
    )


def _names(first: RunFolder, second: RunFolder) -> tuple[str, str]:
    """The checkpoints' names; the folders' where those are the same."""
    names = name_of(first.settings), name_of(second.settings)
    if names[0] != names[1]:
        return names
    folders = str(first.path), str(second.path)
    return folders[0], folders[1]


def _plain(names: Sequence[str], pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        name: {part: estimate.as_dict() for part, estimate in vars(pair).items()}
        for name, pair in zip(names, pairs, strict=True)
    }
