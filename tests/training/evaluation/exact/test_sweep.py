"""One edit at several guidances: numbers of hand-made rows, and a tiny checkpoint measured."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from magicface_training.evaluation import cli
from magicface_training.evaluation.exact import (
    protocol as synthetic_protocol,
)
from magicface_training.evaluation.exact import (
    sweep as synthetic_sweep,
)
from magicface_training.evaluation.exact.pooling import People
from magicface_training.evaluation.exact.report import edit_rows
from magicface_training.evaluation.exact.sweep import curve_point, sweep_jobs
from magicface_training.evaluation.exact.workers import ArgumentsLoader, Task, measured_identities
from magicface_training.evaluation.metrics import ChangedError
from magicface_training.evaluation.records import AUReadings, EditRecord
from magicface_training.synthetic import HeadModel

from magicface_core.aus import AUDelta, AUVector
from magicface_core.network.tiny import write_tiny_checkpoint
from magicface_core.report.background import BackgroundError


def test_the_single_units_at_full_strength_are_swept() -> None:
    assert [job.strength for job in sweep_jobs()] == [4.0] * 12
    assert len({job.delta for job in sweep_jobs()}) == 12


def record(share: float, answered: float) -> EditRecord:
    """An edit of AU12+4 that does a share of it, and what is read of it and of the answer."""
    delta, none = AUDelta(AU12=4), ChangedError()
    asked = np.array(delta.values)
    regressed = AUReadings(np.zeros(12), share * asked, answered * asked)
    return EditRecord(
        1, "AU12+4", "single", 4.0, ChangedError(1 - share, 1.0, 9), none, none,
        BackgroundError(0, 0), 0.2, 0.1, True, True, delta.values, AUVector().values, None,
        regressed=regressed,
    )  # fmt: skip


def test_numbers_of_a_guidance() -> None:
    rows = [record(0.5, 1.0), record(1.0, 1.0)]
    point = curve_point(rows, People(rows, resamples=10, seed=0))
    assert point["ratio"]["value"] == pytest.approx(0.25)
    assert point["au_error"]["value"] == pytest.approx((0.5 * 4) ** 2 / 12 / 2)
    assert point["response"]["value"] == pytest.approx(0.75)
    assert point["identity"]["value"] == pytest.approx(0.2)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_sweep_renders_once_and_measures_as_the_protocol_does(
    workers: int,
    tmp_path: Path,
    head_model: HeadModel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    jobs, rendered = sweep_jobs()[6:7], []
    identity_cases = synthetic_protocol.identity_cases
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    monkeypatch.setattr(synthetic_sweep, "sweep_jobs", lambda: jobs)
    monkeypatch.setattr(
        synthetic_protocol,
        "identity_cases",
        lambda seed, *others: rendered.append(seed) or identity_cases(seed, *others),
    )
    folder = write_tiny_checkpoint(tmp_path / "tiny", resolution=64)
    words = ["--device", "cpu", "--steps", "1", "--seed-start", "11", "--identities", "1"]
    words += ["--json", str(tmp_path / "sweep.json"), "--workers", str(workers)]
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    sweep = parser.parse_args([str(folder), *words, "--guidance-sweep", "3", "0.5", "3"])
    assert cli.run(sweep) == 0
    assert rendered == ([] if workers else [11]), "once, in this process or in the other"
    report = json.loads((tmp_path / "sweep.json").read_text())
    assert list(report["guidance"]) == ["0.5", "3"]
    assert "guidance" not in report["settings"]
    assert "| 0.5 | " in capsys.readouterr().out
    single = parser.parse_args([str(folder), *words, "--guidance", "3"])
    loader = ArgumentsLoader.of(cli._load_editor, single)
    (alone,) = measured_identities(loader.load(), [Task(11, jobs)], loader)
    assert report["edits"]["3"] == edit_rows(alone.records)
    assert report["edits"]["3"] != report["edits"]["0.5"]
