"""A run's folder: settings are kept, other ones refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from evaluation_rows import make_run, make_settings
from magicface_training.evaluation.published import run_folder
from magicface_training.evaluation.published.run_folder import check_place, open_run, start_run
from magicface_training.evaluation.records import EvaluationError


def test_a_run_is_found_again(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "run"
    run = start_run(place, make_settings(["a", "b"]), {})
    assert run.identities == ("a", "b")
    assert run.finished == ()
    assert open_run(place) == start_run(place, make_settings(["a", "b"]), {}) == run


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"sampling": {"guidance": 1.5}}, "sampling.guidance: 3.0 there, 1.5 asked for"),
        ({"identities": {"a": "", "c": ""}}, "identities.b"),
        ({"measured": "pasted"}, "measured: crop there, pasted asked for"),
        ({"checkpoint": {"name": "tiny", "sha256": {"x": "1"}}}, "checkpoint.sha256.x: absent"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path: Path, changes: dict, fragment: str) -> None:
    start_run(tmp_path / "run", make_settings(["a", "b"]), {})
    wanted = make_settings(["a", "b"])
    for key, value in changes.items():
        both = isinstance(value, dict) and key == "sampling"
        wanted[key] = {**wanted[key], **value} if both else value
    with pytest.raises(EvaluationError, match="--out") as caught:
        start_run(tmp_path / "run", wanted, {})
    assert fragment in str(caught.value)


def test_other_versions_only_draw_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    start_run(tmp_path, make_settings(["a"]), {})
    monkeypatch.setattr(run_folder, "versions", lambda: {"torch": "another"})
    with caplog.at_level(logging.WARNING):
        start_run(tmp_path, make_settings(["a"]), {})
    assert "other package versions" in caplog.text


def test_places_that_hold_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.txt").write_text("precious")
    with pytest.raises(EvaluationError, match="something else"):
        check_place(tmp_path)
    with pytest.raises(EvaluationError, match="is a file"):
        check_place(tmp_path / "holiday.txt")
    check_place(tmp_path / "new")


@pytest.mark.parametrize("content", ["", "{}", '{"settings": {"format": "x"}, "versions": {}}'])
def test_what_is_no_run_cannot_be_opened(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(EvaluationError):
        open_run(tmp_path)


def test_rows_of_an_unfinished_run(tmp_path: Path) -> None:
    run = make_run(tmp_path, {"a": 1.0, "b": 1.0})
    assert len(list(run.rows())) == 2 * (3 + 27)
    run.rows_path("a").unlink()
    assert {row.identity for row in run.rows()} == {"b"}
    run.rows_path("b").unlink()
    with pytest.raises(EvaluationError, match="No identity"):
        list(run.rows())
