"""`magicface evaluate` beyond the synthetic protocol, through the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from evaluation_rows import make_run
from magicface_training.evaluation.published import run_command
from magicface_training.evaluation.published.protocols import ProtocolPlan

pytest.importorskip("pyarrow")


def test_a_run_from_pictures_and_its_report_again(
    magicface: Callable,
    astronaut: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = ProtocolPlan("quick", 1, (), 2)
    monkeypatch.setattr(run_command, "PLANS", {"quick": plan})
    pictures, out = tmp_path / "pictures", tmp_path / "run"
    pictures.mkdir()
    (pictures / "astronaut.png").write_bytes(astronaut.read_bytes())
    words = ("--protocol", "quick", "--pictures", pictures, "--out", out, "--device", "cpu")
    outcome = magicface("evaluate", tiny_checkpoint, *words, "--identity", "embedded")
    assert outcome.code == 0, outcome.err
    assert "### tiny: scores" in outcome.out
    assert "Protocol quick on pictures; identities 1, edits 2:" in outcome.out
    [rows] = (out / "rows").iterdir()
    assert rows.name.startswith("astronaut-")
    (out / "report.md").unlink()
    again = magicface("evaluate", "--from", out)
    assert again.code == 0, again.err
    assert again.out == outcome.out
    assert (out / "report.md").is_file()


def test_two_runs_are_compared(magicface: Callable, tmp_path: Path) -> None:
    make_run(tmp_path / "old", {"a": 0.5, "b": 0.7})
    make_run(tmp_path / "new", {"a": 0.6, "b": 0.8})
    outcome = magicface("evaluate", "--from", tmp_path / "new", "--compare", tmp_path / "old")
    assert outcome.code == 0, outcome.err
    assert "AU1: response slope" in outcome.out
    assert (tmp_path / "new" / "comparison-old.md").is_file()


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--from", "absent"), "is not an evaluation run"),
        (("mini", "--protocol", "paper"), "needs --out"),
        (("mini", "--protocol", "quick", "--out", "x", "--pictures", "absent"), "not a folder"),
        (("mini", "--protocol", "quick", "--out", "x", "--seed-start", "20000"), "training split"),
        (("mini", "--protocol", "quick", "--out", "x", "--identity", "who"), "embedded, dlib"),
        (("mini", "--protocol", "quick", "--out", "x", "--au-backend", "who"), 'estimator "who"'),
    ],
)
def test_faults_of_the_user_end_with_one_line(
    magicface: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    fragment: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = magicface("evaluate", *words)
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert not any(tmp_path.iterdir())
