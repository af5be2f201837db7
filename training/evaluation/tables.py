"""Tables of estimates as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from magicface_core.files import write_file

from .intervals import Estimate

Cell = str | float | Estimate | None
LATEX_SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


@dataclass(frozen=True)
class Table:
    """Columns under a head, the first one words; below it sentences (`notes`) and definitions.

    decimals: of each column's numbers; one number for all of them.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    decimals: Sequence[int] = (3,)
    definitions: Mapping[str, str] = field(default_factory=dict)

    def markdown(self) -> str:
        """A pipe table under its title, notes below; intervals in brackets."""
        lines = [f"### {self.title}", "", _row(self.head), _row(["---", *self._rules()])]
        lines += [_row(self._texts(row)) for row in self.rows]
        defined = [f"- {name}: {text}" for name, text in self.definitions.items()]
        return "\n".join([*lines, "", *_spaced(self.notes), *defined, *([""] if defined else [])])

    def csv(self) -> str:
        """Unrounded values; an estimate takes three columns: value, low and high."""
        wide = [any(isinstance(row[i], Estimate) for row in self.rows) for i in self._columns()]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head: list[str] = []
        for name, spread in zip(self.head, wide, strict=True):
            head += [name, f"{name}, low", f"{name}, high"] if spread else [name]
        writer.writerow(head)
        for row in self.rows:
            cells: list[str] = []
            for cell, spread in zip(row, wide, strict=True):
                cells += _exact(cell, spread)
            writer.writerow(cells)
        return text.getvalue()

    def latex(self) -> str:
        """A booktabs table with its title as caption and its notes below."""
        body = [" & ".join(map(_escaped, self._texts(row))) + r" \\" for row in self.rows]
        defined = (f"{name}: {text}." for name, text in self.definitions.items())
        notes = " ".join([*self.notes, *defined])
        return "\n".join(
            [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_escaped(f'{self.title}. {notes}'.rstrip())}}}",
                rf"\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
                r"\toprule",
                " & ".join(map(_escaped, self.head)) + r" \\",
                r"\midrule",
                *body,
                r"\bottomrule",
                r"\end{tabular}",
                r"\end{table}",
                "",
            ]
        )

    def _columns(self) -> range:
        return range(len(self.head))

    def _rules(self) -> list[str]:
        return ["---:"] * (len(self.head) - 1)

    def _texts(self, row: Sequence[Cell]) -> list[str]:
        each = self.decimals if len(self.decimals) > 1 else [self.decimals[0]] * len(self.head)
        return [shown(cell, places) for cell, places in zip(row, each, strict=True)]


def shown(cell: Cell, decimals: int = 3) -> str:
    """A cell for people: "0.261 (0.230 to 0.290)", "-" where a number is unknown."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, Estimate):
        value = shown(cell.value, decimals)
        if not math.isfinite(cell.low):
            return value
        return f"{value} ({rounded(cell.low, decimals)} to {rounded(cell.high, decimals)})"
    return "-" if cell is None else rounded(cell, decimals)


def rounded(value: float, decimals: int) -> str:
    """A number without a negative zero; "-" where it is unknown."""
    if not math.isfinite(value):
        return "-"
    text = f"{value:.{decimals}f}"
    return text if float(text) else text.lstrip("-")


def _exact(cell: Cell, spread: bool) -> list[str]:
    if isinstance(cell, Estimate):
        return [_number(value) for value in (cell.value, cell.low, cell.high)]
    text = cell if isinstance(cell, str) else _number(cell)
    return [text, "", ""] if spread else [text]


def _number(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else repr(float(value))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _spaced(notes: Sequence[str]) -> list[str]:
    return [line for note in notes for line in (note, "")]


def _escaped(text: str) -> str:
    return "".join(LATEX_SPECIAL.get(letter, letter) for letter in text)


def write_json(report: Mapping[str, Any], path: Path) -> None:
    """Writes the report whole or not at all; undefined numbers (NaN) become null.

    Raises:
        OutputError: the file cannot be written.
    """
    write_file(path, json.dumps(_plain(report), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
