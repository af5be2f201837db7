"""Whether a checkpoint is good enough to ship: the criteria, their limits, and a table of verdicts.

All criteria are judged by the pooled value over the identities of a run; intervals are shown so
that a narrow verdict can be told from a safe one. A number that could not be measured fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..intervals import Estimate
from ..metrics import BOOTSTRAP_RESAMPLES
from ..records import FULL_STRENGTH, EditRecord
from ..tables import Cell, Table
from .pooling import People
from .report import estimate

HEAD = ("criterion", "limit", "measured", "worst", "verdict")
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class AcceptanceLimits:
    """Limits of the embedded checkpoint; "ratio" is that of changed pixels (`metrics`).

    single_ratio     largest pooled ratio of single AUs at +4
    unit_ratio       largest ratio of any single AU at +4
    negative_ratio   largest pooled ratio of AUs taken away
    slope            least and largest response of any AU to itself
    leakage          response of any other AU per unit asked must stay below
    identity         median distance to the source must stay below (0.6 parts strangers)
    combination      largest ratio of pairs, and of emotions, over that of single AUs at +4
    megabytes        largest size of the checkpoint, in millions of bytes
    """

    single_ratio: float = 0.5
    unit_ratio: float = 0.7
    negative_ratio: float = 0.6
    slope: tuple[float, float] = (0.7, 1.2)
    leakage: float = 0.15
    identity: float = 0.25
    combination: float = 1.15
    megabytes: float = 40.0


LIMITS = AcceptanceLimits()


@dataclass(frozen=True)
class Verdict:
    """One criterion: its limit in words, what was measured, where it is worst, whether it holds."""

    criterion: str
    limit: str
    measured: Estimate
    worst: str
    passed: bool

    def row(self) -> list[Cell]:
        word = "pass" if self.passed else "FAIL"
        return [self.criterion, self.limit, self.measured, self.worst, word]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "criterion": self.criterion,
            "limit": self.limit,
            "measured": self.measured.as_dict(),
            "worst": self.worst,
            "passed": self.passed,
        }


def verdicts(
    records: Sequence[EditRecord],
    report: Mapping[str, Any],
    size: int,
    *,
    limits: AcceptanceLimits = LIMITS,
    resamples: int = BOOTSTRAP_RESAMPLES,
    seed: int = 0,
) -> tuple[Verdict, ...]:
    """Every criterion, from the rows of a run, its report, and the checkpoint's bytes."""
    people = People(records, resamples=resamples, seed=seed)
    singles = [one for one in records if one.kind == "single" and one.strength == FULL_STRENGTH]
    negatives = _of_kind(records, "negative")
    units = {one.unit: [row for row in singles if row.unit == one.unit] for one in singles}
    ratios = {unit: people.ratio(rows) for unit, rows in units.items()}
    megabytes = Estimate(size / MEGABYTE)
    return (
        _at_most("ratio of single AUs at +4", people.ratio(singles), limits.single_ratio),
        _worst_at_most("ratio of every AU at +4", ratios, limits.unit_ratio),
        _at_most("ratio of AUs taken away", people.ratio(negatives), limits.negative_ratio),
        *_response_verdicts(report["response"], limits),
        _below("identity distance, median", estimate(report["identity"]), limits.identity),
        *(
            _at_most(
                f"ratio of {name} over that of single AUs at +4",
                people.relative(_of_kind(records, kind), singles),
                limits.combination,
            )
            for kind, name in (("two", "two AUs"), ("emotion", "emotions"))
        ),
        _at_most("checkpoint size, MB", megabytes, limits.megabytes),
    )


def acceptance_table(found: Sequence[Verdict]) -> Table:
    """One row per criterion."""
    failed = sum(not one.passed for one in found)
    note = f"{failed} of {len(found)} criteria failed." if failed else "All criteria hold."
    return Table("Acceptance", HEAD, [one.row() for one in found], [note])


def _response_verdicts(
    response: Mapping[str, Any], limits: AcceptanceLimits
) -> tuple[Verdict, Verdict]:
    """Slope and leakage of every AU as the regressor trained on exact labels reads them.

    The slope is relative to what it reads in the exact answers, so that its gain cancels; its own
    leakage, printed with the report, counts against the edits.
    """
    units: Mapping[str, Any] = response.get("regressed", {}).get("per_au", {})
    slopes = {unit: estimate(values["relative_response"]) for unit, values in units.items()}
    leaks = {
        f"{unit} into {values['into']}": estimate(values["leak"]) for unit, values in units.items()
    }
    least, most = limits.slope
    middle = (least + most) / 2
    return (
        _worst(
            "response slope of every AU (regressor)",
            f"{least:g} to {most:g}",
            slopes,
            lambda value: least <= value <= most,
            lambda value: abs(value - middle),
        ),
        _worst(
            "leakage of every AU per unit asked (regressor)",
            f"< {limits.leakage:g}",
            leaks,
            lambda value: abs(value) < limits.leakage,
            abs,
        ),
    )


def _of_kind(records: Sequence[EditRecord], kind: str) -> list[EditRecord]:
    return [record for record in records if record.kind == kind]


def _at_most(criterion: str, measured: Estimate, limit: float) -> Verdict:
    return Verdict(criterion, f"<= {limit:g}", measured, "", measured.value <= limit)


def _below(criterion: str, measured: Estimate, limit: float) -> Verdict:
    return Verdict(criterion, f"< {limit:g}", measured, "", measured.value < limit)


def _worst_at_most(criterion: str, measured: Mapping[str, Estimate], limit: float) -> Verdict:
    return _worst(criterion, f"<= {limit:g}", measured, lambda value: value <= limit, float)


def _worst(
    criterion: str,
    limit: str,
    measured: Mapping[str, Estimate],
    holds: Callable[[float], bool],
    badness: Callable[[float], float],
) -> Verdict:
    """One verdict over many numbers: the worst of them, and the names of all that fail."""
    if not measured:
        return Verdict(criterion, limit, Estimate(math.nan), "not measured", passed=False)
    failing = [name for name, one in measured.items() if not holds(one.value)]

    def rank(name: str) -> float:
        value = measured[name].value
        return badness(value) if math.isfinite(value) else math.inf

    worst = max(measured, key=rank)
    told = f"{worst}; fail: {', '.join(failing)}" if failing else worst
    return Verdict(criterion, limit, measured[worst], told, not failing)
