"""A synthetic run's folder: rows come back as they were, other settings are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from magicface_training.evaluation.exact.folder import SyntheticRun
from magicface_training.evaluation.metrics import ChangedError
from magicface_training.evaluation.published.run_folder import check_folder
from magicface_training.evaluation.records import (
    AUReadings,
    EditRecord,
    EvaluationError,
    record_as_dict,
)
from magicface_training.evaluation.sharpness import GradientEnergy

from magicface_core.aus import AUDelta, AUVector
from magicface_core.report.background import BackgroundError

SETTINGS = {"protocol_version": 2, "sampling": {"seed": 0}}


@pytest.fixture
def record() -> EditRecord:
    error = ChangedError(1 / 3, 2.0, 5)
    readings = AUReadings(np.zeros(12), np.full(12, 0.1), np.ones(12))
    return EditRecord(
        7, "AU12+4", "single", 4.0, error, error, error, BackgroundError(0.1, 0.2), 0.3, None,
        True, True, AUDelta(AU12=4).values, AUVector().values, None, (0.1, 0.2),
        GradientEnergy(1, 2), 0.05, 1.5, None, readings,
    )  # fmt: skip


def test_rows_come_back_as_they_were(tmp_path: Path, record: EditRecord) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.start(SETTINGS)
    assert run.records(7) is None
    run.keep(7, [record])
    again = SyntheticRun(tmp_path / "run")
    again.start(SETTINGS)
    [found] = again.records(7) or ()
    assert record_as_dict(found) == record_as_dict(record)
    assert found.unit == "AU12" and found.edit == record.edit


def test_other_settings_are_refused_by_name(tmp_path: Path) -> None:
    SyntheticRun(tmp_path / "run").start(SETTINGS)
    with pytest.raises(EvaluationError, match=r"sampling\.seed: 0 there, 1 asked for"):
        SyntheticRun(tmp_path / "run").start({**SETTINGS, "sampling": {"seed": 1}})


def test_places_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    (tmp_path / "holiday.txt").write_text("precious")
    with pytest.raises(EvaluationError, match="something else"):
        check_folder(tmp_path)
    with pytest.raises(EvaluationError, match="is a file"):
        check_folder(tmp_path / "holiday.txt")


@pytest.mark.parametrize("content", ["", "[{}]", '[{"edit": {}}]'])
def test_damaged_rows_are_named(tmp_path: Path, content: str) -> None:
    run = SyntheticRun(tmp_path / "run")
    run.start(SETTINGS)
    run.rows_path(7).write_text(content)
    with pytest.raises(EvaluationError, match=r"seed-00007\.json.*delete it"):
        run.records(7)
