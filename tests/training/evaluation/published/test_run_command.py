"""Protocols on a photograph with stand-in editors: rows, resuming, sweeps, worker processes."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from magicface_training.evaluation import cli
from magicface_training.evaluation.editor import EditSource
from magicface_training.evaluation.identities import (
    PreparedIdentity,
    picture_identities,
    prepare_identity,
)
from magicface_training.evaluation.published import edit_rows, run_command
from magicface_training.evaluation.published.edit_rows import Measurement, Measuring, identity_rows
from magicface_training.evaluation.published.instruments import InstrumentChoice, Reading, loaded
from magicface_training.evaluation.published.protocols import ProtocolPlan
from magicface_training.evaluation.published.rows import EditRow
from magicface_training.evaluation.published.run_command import worker_processes
from magicface_training.evaluation.published.run_folder import open_run
from magicface_training.evaluation.records import EvaluationError
from PIL import Image

from magicface_core.framing.framing import Framing

PLAN = ProtocolPlan("quick", 1, (), 2)
EMBEDDED = Measuring(InstrumentChoice())
COPY, CODED, JPEG = "copy of the input", "autoencoder round trip", "JPEG 95"


class CopyEditor:
    """Returns its input, or nothing at all; codes without loss. Counts how often it is asked."""

    framing = Framing(resolution=128)
    steps, scheduler, seed = 2, "ddim", 0

    def __init__(self, brightness: float = 1.0, fails_after: int = 1000) -> None:
        self.guidance = 3.0
        self.brightness, self.left, self.asked = brightness, fails_after, 0
        info = SimpleNamespace(name="copy")
        self.checkpoint = SimpleNamespace(
            info=info, device=torch.device("cpu"), dtype=torch.float32
        )

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        self.asked += len(deltas)
        if self.asked > self.left:
            raise KeyboardInterrupt
        return self.brightness * source.picture.repeat(len(deltas), 1, 1, 1)

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures

    keeps_detail = False


@pytest.fixture(scope="module")
def pictures(astronaut: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The astronaut, and mirrored as a second person."""
    folder = tmp_path_factory.mktemp("people")
    with Image.open(astronaut) as picture:
        picture.save(folder / "a.png")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.png")
    return folder


@pytest.fixture(scope="module")
def subject(pictures: Path) -> PreparedIdentity:
    """The astronaut, prepared for the editor."""
    [identity] = picture_identities(pictures, 1)
    return prepare_identity(identity, CopyEditor.framing, loaded(EMBEDDED.choice).perception)


def measure_by_brightness(
    choice: InstrumentChoice, compared: np.ndarray, source: Reading, picture: np.ndarray
) -> Measurement:
    """Stands in for the instruments, which take seconds over the pictures of a run."""
    return Measurement(source, float(picture.mean()) / 255)


@pytest.fixture
def evaluate(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the command's own function with an editor of the test."""
    (tmp_path / "model").mkdir()
    monkeypatch.setattr(run_command, "PLANS", {"quick": PLAN})
    monkeypatch.setattr(
        "magicface_core.network.checkpoint.resolve_checkpoint", lambda name: tmp_path / "model"
    )
    monkeypatch.setattr(edit_rows, "measure_picture", measure_by_brightness)

    def run(editor: CopyEditor, out: str, *words: str) -> str:
        parser = argparse.ArgumentParser()
        cli.add_arguments(parser)
        place = ["--pictures", str(pictures), "--out", str(tmp_path / out)]
        instruments = ["--identity", "embedded", "--au-backend", "embedded"]
        args = parser.parse_args(["x", "--protocol", "quick", *place, *instruments, *words])
        return run_command.evaluate(args, lambda _: editor)  # type: ignore[arg-type, return-value]

    return run


def test_rows_of_an_editor_that_copies(subject: PreparedIdentity) -> None:
    editor = CopyEditor()
    rows = identity_rows(editor, subject, PLAN.jobs, EMBEDDED)
    assert [row.job for row in rows[:3]] == [COPY, CODED, JPEG]
    assert [row.job for row in rows[3:]] == [job.name for job in PLAN.jobs]
    for row in (*rows[:2], *rows[3:]):
        assert row.edit_aus == row.source_aus
        assert row.identity_distance == row.background_rmse == 0.0
        assert row.edit_pose == row.source_pose
    assert rows[4].requested == PLAN.jobs[1].delta.values
    jpeg = rows[2]
    assert jpeg.background_rmse is not None and 0 < jpeg.background_rmse < 0.02
    assert jpeg.identity_distance is not None and 0 < jpeg.identity_distance < 0.1
    assert rows[0].source_aus is not None and rows[0].source_aus[6] > 3, "she smiles"
    assert rows[0].identity_sha256 == subject.identity.sha256
    assert (rows[0].au_estimator, rows[0].identity_embedding) == ("embedded", "embedded")
    assert '"torch"' in rows[0].versions


def test_an_edit_without_a_face_is_a_row_all_the_same(subject: PreparedIdentity) -> None:
    editor = CopyEditor(brightness=0.0)
    lost = identity_rows(editor, subject, PLAN.jobs[:1], EMBEDDED)[-1]
    assert lost.source_face and not lost.edit_face
    assert lost.edit_aus is lost.identity_distance is lost.edit_pose is None
    assert lost.background_rmse is not None and lost.background_rmse > 0.2, "black everywhere"


def test_pasted_results_keep_the_background(subject: PreparedIdentity) -> None:
    """A black crop is pasted inside the mask only, so the background is the photograph's own."""
    editor = CopyEditor(brightness=0.5)
    crop, pasted = (
        identity_rows(editor, subject, PLAN.jobs[:1], Measuring(EMBEDDED.choice, measured))[-1]
        for measured in ("crop", "pasted")
    )
    assert crop.background_rmse is not None and pasted.background_rmse is not None
    assert pasted.background_rmse < 0.25 * crop.background_rmse


def test_killed_and_resumed_gives_the_same_rows(evaluate: Any, tmp_path: Path) -> None:
    text = evaluate(CopyEditor(), "whole")
    with pytest.raises(KeyboardInterrupt):
        evaluate(CopyEditor(fails_after=2), "cut")
    cut = open_run(tmp_path / "cut")
    assert len(cut.finished) == 1
    assert "unfinished: 1 of 2 identities" in run_command.report_run(cut)
    rest = CopyEditor()
    assert evaluate(rest, "cut") == text
    assert rest.asked == 2, "only the second person is edited"
    assert rows(tmp_path / "cut") == rows(tmp_path / "whole")
    with pytest.raises(EvaluationError, match=r"sampling.guidance: 3.0 there, 1.5 asked for"):
        evaluate(CopyEditor(), "whole", "--guidance", "1.5")
    for name in ("report.md", "report.tex", "report.json", "scores.csv", "curves.png"):
        assert (tmp_path / "whole" / name).is_file()


def test_a_sweep_is_a_run_for_each_guidance(evaluate: Any, tmp_path: Path) -> None:
    words = ("--identities", "1", "--guidance-sweep", "3", "0.5", "3")
    text = evaluate(CopyEditor(), "sweep", *words)
    folders = sorted(path.name for path in (tmp_path / "sweep").glob("guidance-*"))
    assert folders == ["guidance-0.5", "guidance-3"]
    run = open_run(tmp_path / "sweep" / "guidance-0.5")
    assert run.settings["sampling"]["guidance"] == 0.5
    assert "| 0.5 |" in text and "| 3 |" in text
    assert (tmp_path / "sweep" / "guidance.png").is_file()
    with pytest.raises(EvaluationError, match="folder of its own"):
        evaluate(CopyEditor(), "sweep/guidance-3", *words)


def test_worker_processes_measure_the_same(subject: PreparedIdentity) -> None:
    editor = CopyEditor(brightness=0.9)
    with worker_processes(1) as executor:
        measuring = Measuring(EMBEDDED.choice, executor=executor)
        found = identity_rows(editor, subject, PLAN.jobs[:1], measuring)
    assert found == identity_rows(editor, subject, PLAN.jobs[:1], EMBEDDED)


def rows(folder: Path) -> list[EditRow]:
    return list(open_run(folder).rows())
