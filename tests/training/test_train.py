"""Short runs: what they leave behind, and that stopping does not change them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from magicface_training.claim import FolderInUseError, claim_folder
from magicface_training.config import ConfigError
from magicface_training.train import main, train
from runs import assert_same_state, log_lines
from safetensors.torch import load_file

from magicface_core.editing.identity import encode_identities
from magicface_core.editing.sampling import decode, encode_background, sample
from magicface_core.network import load_checkpoint

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "tiny-cpu.yaml"


def test_two_steps_make_a_checkpoint_that_edits(configure) -> None:
    config = configure()
    folder = train(config)
    output = Path(config.run.output)
    lines = log_lines(output)
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        assert 0 < line["loss"] < 100
        assert line["samples_per_second"] > 0
        assert 0 < line["memory_gb"] < 100
        assert 0 <= line["data_wait_share"] < 1
        parts = [line[f"gradient_norm_{part}"] for part in ("denoiser", "id_encoder")]
        assert min(parts) > 0
        assert line["gradient_norm"] == pytest.approx(sum(part**2 for part in parts) ** 0.5)
    assert [path.name for path in output.glob("state-*")] == ["state-00000002"]
    checkpoint = load_checkpoint(folder, "cpu")
    assert checkpoint.info.name == "tiny"
    assert checkpoint.info.training["steps"] == 2
    assert checkpoint.info.training["config"]["optim"]["steps"] == 2
    average = load_file(output / "state-00000002" / "average.safetensors")
    exported = checkpoint.denoiser.conv_in.weight
    assert torch.equal(exported, average["denoiser.conv_in.weight"].half().float())
    picture = torch.rand(1, 3, 32, 32)
    latents = sample(
        checkpoint,
        encode_identities(checkpoint, picture),
        encode_background(checkpoint, picture),
        torch.eye(12)[:2],
    )
    pictures = decode(checkpoint, latents)
    assert pictures.shape == (2, 3, 32, 32)
    assert torch.isfinite(pictures).all()


@pytest.mark.parametrize("prediction", ["sample", "v_prediction"])
def test_other_objectives_and_the_convolutional_controller_train(
    configure, prediction: str
) -> None:
    folder = train(
        configure(
            f"objective.prediction={prediction}",
            "objective.loss=huber",
            "objective.min_snr=5",
            "model.attribute_controller=convolution",
            "optim.ema=off",
            "optim.steps=1",
        )
    )
    checkpoint = load_checkpoint(folder, "cpu")
    assert checkpoint.controller is not None
    assert checkpoint.scheduler_config["prediction_type"] == prediction
    assert checkpoint.info.training["weights"] == "trained"


def test_tuning_a_magicface_checkpoint(configure, tiny_checkpoint: Path) -> None:
    folder = train(
        configure("model.start=magicface", f"model.start_folder={tiny_checkpoint}", "optim.steps=1")
    )
    before, after = load_checkpoint(tiny_checkpoint, "cpu"), load_checkpoint(folder, "cpu")
    assert not torch.equal(before.denoiser.conv_in.weight, after.denoiser.conv_in.weight)
    assert torch.equal(before.prompt_embeds, after.prompt_embeds)


# --- resuming -----------------------------------------------------------------------------------


def resume_with_a_worker(arguments: list[str]) -> None:
    assert main([*arguments, "--resume", "--set", "data.workers=1"]) == 0


def resume_in_a_new_process(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "magicface_training.train", *arguments, "--resume"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)


@pytest.mark.parametrize("resume", [resume_with_a_worker, resume_in_a_new_process])
def test_resumed_run_is_bit_identical(
    configure, overrides: list[str], straight: Path, resume: Callable[[list[str]], None]
) -> None:
    config = configure()
    train(config)
    sets = [text for override in [*overrides, "optim.steps=4"] for text in ("--set", override)]
    resume(["--config", str(CONFIG), *sets])
    output = Path(config.run.output)
    assert_same_state(straight, output / "state-00000004")
    assert [line["step"] for line in log_lines(output)] == [1, 2, 3, 4]


def test_states_are_not_run_over(configure) -> None:
    config = configure("optim.steps=1")
    train(config)
    with pytest.raises(ConfigError, match=r"holds states up to state-00000001: add --resume"):
        train(config)
    assert train(config, resume=True).name == "checkpoint"  # nothing is left to do


def test_resuming_with_other_settings(
    configure, straight: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(configure("optim.steps=2"))
    other = configure("optim.steps=4", "optim.learning_rate=2e-3", "optim.clip_norm=2.0")
    with pytest.raises(ConfigError) as caught:
        train(other, resume=True)
    assert "optim.learning_rate was 0.001, is 0.002" in str(caught.value)
    assert "optim.clip_norm was 1.0, is 2.0" in str(caught.value)
    assert "optim.steps" not in str(caught.value)
    assert "--accept-changes" in str(caught.value)
    train(other, resume=True, accept_changes=True)
    assert "resumed with another setting: optim.steps was 2, is 4" in caplog.text
    output = Path(other.run.output)
    rates = [line["learning_rate"] for line in log_lines(output)]
    assert rates == pytest.approx([0.0002, 0.0004, 0.0012, 0.0016])


def test_other_data_is_noticed(configure, shards: Path, tmp_path: Path) -> None:
    config = configure("optim.steps=1")
    train(config)
    (tmp_path / "fewer").mkdir()
    (tmp_path / "fewer" / "shard.npz").write_bytes((shards / "shard_0.npz").read_bytes())
    (tmp_path / "moved").symlink_to(shards)
    other = configure("optim.steps=2", f"data.train={tmp_path / 'fewer'}")
    with pytest.raises(ConfigError, match="fingerprint was '"):
        train(other, resume=True)
    train(configure("optim.steps=2", f"data.train={tmp_path / 'moved'}"), resume=True)


# --- saving and validating ----------------------------------------------------------------------


def test_validation_changes_nothing(configure, straight: Path, tmp_path: Path) -> None:
    output = tmp_path / "validated"
    grid = ("identities=1", "aus=[12]", "guidance=[1.0, 2.0]", "steps=1", "probe=false")
    train(
        configure(
            "optim.steps=4",
            "run.validate_every=2",
            f"run.output={output}",
            *(f"validation.{setting}" for setting in grid),
        )
    )
    assert_same_state(straight, output / "state-00000004")
    assert [path.name for path in sorted((output / "validation").iterdir())] == [
        "00000002.png",
        "00000004.png",
    ]
    lines = log_lines(output)
    assert [line["step"] for line in lines if "validation_loss" in line] == [2, 4]


def test_old_states_go(configure) -> None:
    config = configure("optim.steps=3", "run.save_every=1", "run.keep=2")
    train(config)
    names = sorted(path.name for path in Path(config.run.output).iterdir())
    assert names == ["checkpoint", "log.jsonl", "state-00000002", "state-00000003"]


def test_folder_of_another_run_is_refused(configure) -> None:
    config = configure()
    output = Path(config.run.output)
    with claim_folder(output):
        (output / "partial-00000001").mkdir()
        with pytest.raises(FolderInUseError, match=f'uses "{output}"'):
            train(config)
        assert (output / "partial-00000001").is_dir()
    train(config)
    assert not (output / "partial-00000001").exists()


def test_command_line_reports_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(CONFIG), "--set", "optim.lr=1"])
    assert caught.value.code == 2
    assert "magicface-train: unknown settings ['lr']" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(tmp_path / "absent.yaml")])
    assert caught.value.code == 2
