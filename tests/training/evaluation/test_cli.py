"""``magicface evaluate`` with a stand-in editor, and what it refuses before any work."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from magicface_training.evaluation import cli
from magicface_training.evaluation.editor import EditSource
from magicface_training.evaluation.exact import command as synthetic_command
from magicface_training.evaluation.exact.jobs import synthetic_jobs
from magicface_training.evaluation.metrics import CHANGE_THRESHOLD
from magicface_training.evaluation.published.protocols import PLANS
from magicface_training.synthetic import HeadModel
from PIL import Image

from magicface_core.errors import MagicFaceError, OutputError
from magicface_core.framing.framing import Framing
from magicface_core.network import checkpoint as network_checkpoint


class CopyEditor:
    """Returns its input; its coding is perfect. Offers what the report reads of a checkpoint."""

    framing = Framing(resolution=64)
    steps, guidance, scheduler, seed = 2, 3.0, "ddim", 0

    def __init__(self) -> None:
        info = SimpleNamespace(name="copy")
        self.checkpoint = SimpleNamespace(
            info=info, device=torch.device("cpu"), dtype=torch.float32
        )

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        return source.picture.repeat(len(deltas), 1, 1, 1)

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures

    keeps_detail = False


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["mini", *words])


def test_defaults_are_the_documented_ones(tmp_path: Path) -> None:
    args = arguments("--json", "out.json")
    assert (args.model, args.protocol) == ("mini", "synthetic")
    assert (args.identities, args.check) == (None, False)
    assert (args.seed_start, args.seed, args.measure, args.workers) == (0, 0, "crop", 0)
    assert args.steps is args.guidance is args.scheduler is args.sheet is None


def test_the_protocols_are_the_planned_ones() -> None:
    assert tuple(PLANS) == cli.PROTOCOLS


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (["mini"], "needs --json"),
        (["--json", "out.json"], "needs CHECKPOINT"),
        (["mini", "--json", "out.json", "--pictures", "x"], "--pictures cannot be used with"),
        (["mini", "--guidance-sweep", "1"], "synthetic --guidance-sweep needs --json"),
        (["mini", "--guidance-sweep", "1", "--out", "run"], "--out cannot be used with"),
        (["mini", "--protocol", "paper"], "--protocol paper needs --out"),
        (["mini", "--protocol", "quick", "--out", "run", "--json", "x"], "--json cannot be used"),
        (["mini", "--protocol", "quick", "--out", "run", "--compare", "x"], "--compare cannot"),
        (["mini", "--protocol", "quick", "--out", "run", "--check"], "--check cannot"),
        (["--check"], "needs CHECKPOINT"),
        (["mini", "--from", "run"], "CHECKPOINT cannot be used with --from"),
        (
            ["mini", "--protocol=quick", "--out=x", "--guidance=1", "--guidance-sweep=1"],
            "exclude each other",
        ),
    ],
)
def test_options_that_do_not_belong_together(words: list[str], fragment: str) -> None:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    with pytest.raises(MagicFaceError, match=fragment):
        cli.run(parser.parse_args(words))


@pytest.mark.parametrize(
    "words",
    [
        ["--json", "absent/out.json"],
        ["--json", "out.json", "--sheet", "absent/sheet.png"],
        ["--json", "out.json", "--sheet", "sheet.txt"],
    ],
)
def test_outputs_are_checked_first(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_load_editor", lambda args: pytest.fail("loaded before the check"))
    with pytest.raises(OutputError):
        cli.run(arguments(*words))


def test_training_seeds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_load_editor", lambda args: pytest.fail("loaded before the check"))
    with pytest.raises(MagicFaceError, match="--allow-train"):
        cli.run(arguments("--json", str(tmp_path / "out.json"), "--seed-start", "20000"))
    assert not any(tmp_path.iterdir())


def test_a_copying_editor_scores_one(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    head_model: HeadModel,
) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    (folder / "magicface.json").write_text("{}")
    monkeypatch.setattr(cli, "_load_editor", lambda args: CopyEditor())
    monkeypatch.setattr(network_checkpoint, "resolve_checkpoint", lambda name: folder)
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    names = ("AU4+4", "AU12+4", "AU12-4", "surprised")
    jobs = [job for job in synthetic_jobs() if job.name in names]
    monkeypatch.setattr(synthetic_command, "synthetic_jobs", lambda: jobs)
    output, sheet = tmp_path / "out.json", tmp_path / "sheet.png"
    words = ["--json", str(output), "--sheet", str(sheet), "--identities", "1", "--seed-start", "3"]
    assert cli.run(arguments(*words, "--check")) == 1, "a copy is no edit"

    report = json.loads(output.read_text())
    overall = report["scores"]["all edits"]
    assert overall["ratio"]["value"] == pytest.approx(1.0, abs=1e-3)
    assert 0 <= overall["floor"] < 0.6, "the mask's edge and what moves outside it remain"
    assert list(report["scores"]) == ["all edits", "single +4", "emotion", "negative -4"]
    assert list(report["per_edit"]) == ["AU4+4", "AU12+4", "surprised", "AU12-4"]
    assert report["identity"]["value"] == pytest.approx(0.0, abs=0.02)
    assert report["background_largest"] == 0.0
    assert report["counts"]["identities"] == 1
    assert report["definition"]["change_threshold"] == CHANGE_THRESHOLD
    assert report["settings"]["seed_start"] == 3
    assert report["settings"]["scheduler"] == "ddim"
    assert report["checkpoint"]["sha256"].keys() == {"magicface.json"}
    assert report["still"]["value"] == pytest.approx(0.0, abs=1e-6)
    assert report["pose"]["value"] == pytest.approx(report["pose_floor"]["value"], abs=0.01)
    copied = report["response"]
    assert copied["regressed"]["per_au"]["AU12"]["edits"]["value"] == pytest.approx(0, abs=0.15)
    assert copied["regressed"]["per_au"]["AU12"]["answers"]["value"] > 0.7
    assert copied["regressed"]["held_out"]["people"] >= 20
    assert copied["pixels"]["AU12"]["response"]["value"] == pytest.approx(0, abs=1e-3)
    assert copied["estimated"]["per_au"]["AU12"]["edits"]["value"] == pytest.approx(0, abs=0.05)
    assert len(report["edits"]) == report["counts"]["edits"] == 4
    assert report["seconds"]["total"] > 0
    failed = {row["criterion"] for row in report["acceptance"] if not row["passed"]}
    assert {"ratio of single AUs at +4", "ratio of AUs taken away"} <= failed
    assert "identity distance, median" not in failed
    out = capsys.readouterr().out
    assert "| **all edits** | 1.000 |" in out
    assert "| ratio of single AUs at +4 | <= 0.5 | 1.000 |  | FAIL |" in out
    with Image.open(sheet) as picture:
        assert picture.width > 4 * CopyEditor.framing.resolution
