"""Aggregation of hand-made rows, the table, and the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from magicface_training.evaluation.exact.report import edit_rows, markdown_table, summarise
from magicface_training.evaluation.metrics import ChangedError
from magicface_training.evaluation.provenance import file_hashes, machine, versions
from magicface_training.evaluation.records import EditJob, EditRecord, JobKind
from magicface_training.evaluation.sharpness import GradientEnergy
from magicface_training.evaluation.tables import write_json

from magicface_core.aus import AUDelta
from magicface_core.report.background import BackgroundError


def record(
    seed: int,
    delta: AUDelta,
    error: float,
    change: float,
    identity: float | None = 0.2,
    kind: JobKind = "single",
) -> EditRecord:
    job = EditJob(delta.label(), kind, delta)
    return EditRecord(
        seed=seed,
        job=job.name,
        kind=kind,
        strength=job.strength,
        edit=ChangedError(error, change, 10),
        floor=ChangedError(change / 4, change, 10),
        mask_floor=ChangedError(change / 10, change, 10),
        background=BackgroundError(0.0, 0.0),
        identity=identity,
        identity_floor=None if identity is None else identity / 2,
        source_detected=seed != 3,
        edit_detected=identity is not None,
        requested=delta.values,
        energy=GradientEnergy(1.0, 4.0),
    )


BROWS, LIPS, BOTH = AUDelta(AU1=4), AUDelta(AU12=4), AUDelta(AU6=4, AU12=4)
RECORDS = [
    record(1, BROWS, 1.0, 10.0, 0.1),
    record(1, LIPS, 5.0, 10.0, 0.3),
    record(1, BOTH, 40.0, 80.0, 0.2, "two"),
    record(3, BROWS, 30.0, 30.0, None),
    record(3, LIPS, 5.0, 10.0, None),
    record(3, BOTH, 10.0, 20.0, None, "two"),
]


def test_summary_pools_over_edits_and_identities() -> None:
    summary = summarise(RECORDS)
    scores = summary["scores"]
    assert list(scores) == ["all edits", "single +4", "two"]
    assert scores["all edits"]["ratio"]["value"] == pytest.approx(91 / 160)
    assert scores["all edits"]["floor"] == pytest.approx(0.25)
    assert scores["all edits"]["mask_floor"] == pytest.approx(0.1)
    assert scores["all edits"]["sharpness"]["value"] == pytest.approx(0.25)
    assert scores["single +4"]["ratio"]["value"] == pytest.approx(41 / 60)
    assert scores["two"]["ratio"]["value"] == pytest.approx(0.5)
    edit = summary["per_edit"]["AU1+4"]
    assert (edit["kind"], edit["strength"], edit["unit"]) == ("single", 4.0, "AU1")
    assert edit["ratio"]["value"] == pytest.approx(31 / 40)
    assert edit["pixels"] == 20
    assert summary["identity"]["value"] == pytest.approx(0.2)
    assert summary["identity_floor"]["value"] == pytest.approx(0.1)
    assert (summary["undetected"], summary["undetected_edits"]) == (1, 3)
    assert summary["counts"] == {"identities": 2, "edits": 6, "changed_pixels": 60}


def test_strengths_of_one_unit_are_reported_apart() -> None:
    weak = record(1, AUDelta(AU12=2), 1.0, 2.0)
    away = record(1, AUDelta(AU12=-4), 1.0, 4.0, kind="negative")
    scores = summarise([*RECORDS, weak, away])["scores"]
    assert scores["single +2"]["ratio"]["value"] == pytest.approx(0.5)
    assert scores["negative -4"]["ratio"]["value"] == pytest.approx(0.25)


def test_intervals_enclose_the_estimate() -> None:
    """Two identities, so the extremes are the ratios of either alone: 46/100 and 45/60."""
    ratio = summarise(RECORDS)["scores"]["all edits"]["ratio"]
    assert (ratio["low"], ratio["high"]) == pytest.approx((0.46, 0.75))


def test_table_lists_every_edit_with_its_floor() -> None:
    lines = markdown_table(summarise(RECORDS)).splitlines()
    pooled = "| **all edits** | 0.569 (0.460 to 0.750) | 0.250 | 0.100 | 0.250 (0.250 to 0.250) |"
    assert f"{pooled} 60 |" in lines
    assert any(line.startswith("| AU1+4 | 0.775 (") for line in lines)
    assert any(line.startswith("| AU6+4 AU12+4 | 0.500 (") for line in lines)
    assert any("without a detected face: 1 of 2" in line for line in lines)


def test_json_is_whole_and_undefined_numbers_are_null(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json({"ratio": math.nan, "interval": (0.1, math.inf), "name": "mini"}, path)
    assert json.loads(path.read_text()) == {"ratio": None, "interval": [0.1, None], "name": "mini"}
    assert [item.name for item in tmp_path.iterdir()] == ["out.json"]


def test_summary_and_rows_survive_json(tmp_path: Path) -> None:
    path = tmp_path / "out.json"
    write_json({**summarise(RECORDS), "edits": edit_rows(RECORDS)}, path)
    loaded = json.loads(path.read_text())
    assert sum(row["error"] for row in loaded["edits"]) == pytest.approx(91)
    assert loaded["edits"][3]["identity"] is None
    assert (loaded["edits"][2]["kind"], loaded["edits"][2]["strength"]) == ("two", 4.0)
    assert loaded["edits"][2]["requested"] == list(BOTH.values)


def test_file_hashes_cover_weights_and_settings(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("")
    (tmp_path / "notes.txt").write_text("left out")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_hashes(tmp_path) == {"vae/config.json": empty}


def test_versions_and_machine_are_plain_values() -> None:
    assert {"python", "torch", "numpy"} <= versions().keys()
    assert machine("cpu")["device"] == "cpu"
