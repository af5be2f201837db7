"""Verdicts on hand-made rows: each criterion can hold, and each can fail alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from magicface_training.evaluation.exact.acceptance import LIMITS, acceptance_table, verdicts
from magicface_training.evaluation.exact.jobs import synthetic_jobs
from magicface_training.evaluation.exact.report import summarise
from magicface_training.evaluation.metrics import ChangedError
from magicface_training.evaluation.records import AUReadings, EditJob, EditRecord

from magicface_core.report.background import BackgroundError

Change = Callable[[EditRecord], EditRecord]


def record(seed: int, job: EditJob) -> EditRecord:
    """An edit that meets every criterion."""
    none = ChangedError()
    known, asked = np.array(job.source.values), np.array(job.delta.values)
    regressed = AUReadings(known, known + 0.9 * asked, known + asked)
    return EditRecord(
        seed, job.name, job.kind, job.strength, ChangedError(4, 10, 9), none, none,
        BackgroundError(0, 0), 0.2, 0.1, True, True, job.delta.values, job.source.values,
        regressed=regressed,
    )  # fmt: skip


RECORDS = [record(seed, job) for seed in (1, 2) for job in synthetic_jobs()]


def judge(records: list[EditRecord], size: int = 20_000_000) -> dict[str, Any]:
    report = summarise(records, resamples=50)
    return {one.criterion: one for one in verdicts(records, report, size, resamples=50)}


def failing(change: Change) -> list[str]:
    found = judge([change(one) for one in RECORDS])
    return [name for name, one in found.items() if not one.passed]


def test_a_good_checkpoint_passes_all() -> None:
    found = judge(RECORDS)
    assert len(found) == 9
    assert all(one.passed for one in found.values())
    assert found["ratio of single AUs at +4"].measured.value == pytest.approx(0.4)
    assert found["ratio of two AUs over that of single AUs at +4"].measured.value == 1.0
    text = acceptance_table(list(found.values())).markdown()
    assert "| ratio of single AUs at +4 | <= 0.5 | 0.400 (0.400 to 0.400) |  | pass |" in text
    assert "All criteria hold." in text


def worse(kind: str, error: float, job: str = "") -> Change:
    def change(one: EditRecord) -> EditRecord:
        chosen = one.kind == kind and job in one.job
        return replace(one, edit=ChangedError(error, 10, 9)) if chosen else one

    return change


def read(column: int, share: float, unit: str = "AU12") -> Change:
    """All single edits of a unit change another (or themselves) by a share of what is asked."""

    def change(one: EditRecord) -> EditRecord:
        if one.kind != "single" or one.unit != unit or one.regressed is None:
            return one
        edit = one.regressed.edit.copy()
        edit[column] = share * one.strength
        return replace(one, regressed=replace(one.regressed, edit=edit))

    return change


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (worse("single", 7.1, "AU5+4"), ["ratio of every AU at +4"]),
        (worse("negative", 6.1), ["ratio of AUs taken away"]),
        (worse("two", 4.7), ["ratio of two AUs over that of single AUs at +4"]),
        (worse("emotion", 4.7), ["ratio of emotions over that of single AUs at +4"]),
        (worse("single", 5.5, "+4"), ["ratio of single AUs at +4"]),
        (read(6, 0.6), ["response slope of every AU (regressor)"]),
        (read(6, 1.3), ["response slope of every AU (regressor)"]),
        (read(3, -0.2), ["leakage of every AU per unit asked (regressor)"]),
        (lambda one: replace(one, identity=0.25), ["identity distance, median"]),
        (lambda one: replace(one, identity=None), ["identity distance, median"]),
    ],
)
def test_each_criterion_fails_alone(change: Change, names: list[str]) -> None:
    assert failing(change) == names


def test_better_combinations_than_single_units_pass() -> None:
    assert failing(worse("two", 1.0)) == []


def test_size_counts_in_millions_of_bytes() -> None:
    assert judge(RECORDS, 40_000_000)["checkpoint size, MB"].passed
    assert not judge(RECORDS, 40_000_001)["checkpoint size, MB"].passed


def test_the_worst_unit_and_all_that_fail_are_named() -> None:
    records = [worse("single", 8.0, "AU5+4")(worse("single", 7.5, "AU20+4")(r)) for r in RECORDS]
    verdict = judge(records)["ratio of every AU at +4"]
    assert verdict.worst == "AU5; fail: AU5, AU20"
    assert verdict.measured.value == pytest.approx(0.8)


def test_what_was_not_measured_fails() -> None:
    weak = [one for one in RECORDS if one.kind == "single" and one.strength == 2]
    found = judge([replace(one, regressed=None) for one in weak])
    passed = {name for name, one in found.items() if one.passed}
    assert passed == {"identity distance, median", "checkpoint size, MB"}
    assert math.isnan(found["ratio of AUs taken away"].measured.value)
    assert found["ratio of every AU at +4"].worst == "not measured"
    assert "7 of 9 criteria failed." in acceptance_table(list(found.values())).notes


def test_limits_are_the_published_ones() -> None:
    assert (LIMITS.single_ratio, LIMITS.unit_ratio, LIMITS.negative_ratio) == (0.5, 0.7, 0.6)
    assert (LIMITS.slope, LIMITS.leakage, LIMITS.identity) == ((0.7, 1.2), 0.15, 0.25)
    assert (LIMITS.combination, LIMITS.megabytes) == (1.15, 40.0)
