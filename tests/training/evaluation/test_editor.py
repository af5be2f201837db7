"""A tiny random checkpoint as an editor, on its own and through the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from magicface_training.evaluation.editor import CheckpointEditor, EditSource, noise_seed
from magicface_training.evaluation.exact import command as synthetic_command
from magicface_training.evaluation.exact.jobs import synthetic_jobs
from magicface_training.evaluation.exact.measure import paste
from magicface_training.synthetic import HeadModel

from magicface_core import cli
from magicface_core.errors import MagicFaceError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.tiny import write_tiny_checkpoint

SIZE = 64
DELTAS = torch.eye(12)[:3] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return write_tiny_checkpoint(place, resolution=SIZE, guidance=2.0, keep_detail=True)


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> Checkpoint:
    return load_checkpoint(folder, device="cpu")


@pytest.fixture(scope="module")
def source() -> EditSource:
    picture = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 16:48, 16:48] = 1
    return EditSource(5, picture, picture * (1 - mask), mask, None)


def test_editor_takes_its_settings_from_the_checkpoint(checkpoint: Checkpoint) -> None:
    editor = CheckpointEditor(checkpoint)
    assert (editor.steps, editor.guidance, editor.scheduler) == (2, 2.0, "unipc")
    assert editor.framing.resolution == SIZE
    assert editor.framing.region == "face"
    chosen = CheckpointEditor(checkpoint, steps=3, guidance=1.0, scheduler="ddim")
    assert (chosen.steps, chosen.guidance, chosen.scheduler) == (3, 1.0, "ddim")


def test_unknown_scheduler_is_refused_at_once(checkpoint: Checkpoint) -> None:
    with pytest.raises(MagicFaceError, match="scheduler"):
        CheckpointEditor(checkpoint, scheduler="no such")


def test_edits_do_not_depend_on_the_batches(checkpoint: Checkpoint, source: EditSource) -> None:
    together = CheckpointEditor(checkpoint).edit(source, DELTAS)
    apart = CheckpointEditor(checkpoint, batch=1).edit(source, DELTAS)
    assert together.shape == (3, 3, SIZE, SIZE)
    assert torch.allclose(together, apart, atol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-3)


def test_the_seed_of_the_run_changes_the_noise(checkpoint: Checkpoint, source: EditSource) -> None:
    first, again, other = (
        CheckpointEditor(checkpoint, seed=seed).edit(source, DELTAS[:1]) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.allclose(first, other, atol=1e-3)


def test_noise_seed_depends_on_run_and_identity_alone() -> None:
    seeds = {noise_seed(run, who) for run in (0, 1) for who in (0, 1)}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert noise_seed(0, 1) == noise_seed(0, 1)


def test_pasting_no_change_gives_the_source(checkpoint: Checkpoint, source: EditSource) -> None:
    """With detail kept, an edit that changes nothing returns the source, not its round trip."""
    editor = CheckpointEditor(checkpoint)
    assert editor.keeps_detail
    assert torch.equal(paste(source, source.picture, source.picture), source.picture)
    coded = editor.reconstruct(source.picture)
    assert not torch.equal(paste(source, coded, None), source.picture)


def test_evaluate_command_measures_a_checkpoint(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    head_model: HeadModel,
) -> None:
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    jobs = synthetic_jobs()[6:7]
    monkeypatch.setattr(synthetic_command, "synthetic_jobs", lambda: jobs)
    output = tmp_path / "out.json"
    words = ["evaluate", str(folder), "--protocol", "synthetic", "--identities", "2"]
    options = ["--seed-start", "11", "--json", str(output), "--steps", "1", "--device", "cpu"]
    assert cli.main([*words, *options]) == 0
    report = json.loads(output.read_text())
    assert report["checkpoint"]["name"] == "tiny"
    assert any(name.startswith("denoising_unet/") for name in report["checkpoint"]["sha256"])
    assert report["settings"]["steps"] == 1
    assert report["counts"] == {
        "identities": 2,
        "edits": 2,
        "changed_pixels": report["per_edit"]["AU12+4"]["pixels"],
    }
    ratio = report["scores"]["single +4"]["ratio"]
    assert ratio == report["per_edit"]["AU12+4"]["ratio"] == report["scores"]["all edits"]["ratio"]
    assert ratio["value"] > 0
    assert report["background_largest"] == 0.0
    assert "| AU12+4 |" in capsys.readouterr().out


def test_a_fault_of_the_user_ends_with_code_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out.json"
    words = ["evaluate", str(folder), "--seed-start", "20000", "--json", str(output)]
    assert cli.main(words) == 2
    assert "--allow-train" in capsys.readouterr().err
    assert not output.exists()
