"""Aggregation of hand-made rows, the table, and the file."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from magicface_core.evaluation.measure import EditRecord, JobKind
from magicface_core.evaluation.metrics import BackgroundError, ChangedError
from magicface_core.evaluation.provenance import file_hashes, machine, versions
from magicface_core.evaluation.report import (
    edit_rows,
    markdown_table,
    summarise,
    write_json,
)


def record(
    seed: int, job: str, error: float, change: float, identity: float | None = 0.2
) -> EditRecord:
    kind: JobKind = "single" if job.startswith("AU") else "combination"
    return EditRecord(
        seed=seed,
        job=job,
        kind=kind,
        edit=ChangedError(error, change, 10),
        floor=ChangedError(change / 4, change, 10),
        mask_floor=ChangedError(change / 10, change, 10),
        background=BackgroundError(0.0, 0.0),
        identity=identity,
        identity_floor=None if identity is None else identity / 2,
        source_detected=seed != 3,
        edit_detected=identity is not None,
    )


RECORDS = [
    record(1, "AU1", 1.0, 10.0, 0.1),
    record(1, "AU12", 5.0, 10.0, 0.3),
    record(1, "smile", 40.0, 80.0, 0.2),
    record(3, "AU1", 30.0, 30.0, None),
    record(3, "AU12", 5.0, 10.0, None),
    record(3, "smile", 10.0, 20.0, None),
]


def test_summary_pools_over_edits_and_identities() -> None:
    summary = summarise(RECORDS)
    assert summary["changed_error_ratio"] == pytest.approx(91 / 160)
    assert summary["floor_ratio"] == pytest.approx(0.25)
    assert summary["mask_floor_ratio"] == pytest.approx(0.1)
    assert summary["per_au_floor"] == {"AU1": pytest.approx(0.25), "AU12": pytest.approx(0.25)}
    assert summary["per_au_changed_pixels"] == {"AU1": 20, "AU12": 20}
    assert summary["single_au_ratio"] == pytest.approx(41 / 60)
    assert summary["combination_ratio"] == pytest.approx(0.5)
    assert summary["per_au"] == {"AU1": pytest.approx(31 / 40), "AU12": pytest.approx(0.5)}
    assert summary["per_combination"] == {"smile": pytest.approx(0.5)}
    assert summary["identity_median"] == pytest.approx(0.2)
    assert summary["identity_floor_median"] == pytest.approx(0.1)
    assert summary["undetected"] == 1
    assert summary["undetected_edits"] == 3
    assert summary["counts"] == {"identities": 2, "edits": 6, "changed_pixels": 60}


def test_intervals_enclose_the_estimate() -> None:
    """Two identities, so the extremes are the ratios of either alone: 46/100 and 45/60."""
    summary = summarise(RECORDS)
    assert summary["changed_error_ratio_interval"] == pytest.approx((0.46, 0.75))


def test_table_lists_every_edit_with_its_floor() -> None:
    lines = markdown_table(summarise(RECORDS)).splitlines()
    assert "| **all edits** | 0.569 | 0.460 to 0.750 | 0.250 | 0.100 | 60 |" in lines
    assert any(line.startswith("| AU1 +4 | 0.775 |") for line in lines)
    assert any(line.startswith("| smile | 0.500 |") for line in lines)
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


def test_file_hashes_cover_weights_and_settings(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("")
    (tmp_path / "notes.txt").write_text("left out")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert file_hashes(tmp_path) == {"vae/config.json": empty}


def test_versions_and_machine_are_plain_values() -> None:
    assert {"python", "torch", "numpy"} <= versions().keys()
    assert machine("cpu")["device"] == "cpu"
