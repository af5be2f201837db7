"""Short runs: what they leave behind, and that stopping does not change them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from magicface_training.config import OptimConfig
from magicface_training.train import learning_rate, main, step_seed, train
from safetensors.torch import load_file

from magicface_core.network import load_checkpoint
from magicface_core.sampling import decode, encode_background, encode_identity, sample

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "tiny-cpu.yaml"


def assert_same_state(first: Path, second: Path) -> None:
    for name in ("networks.safetensors", "average.safetensors"):
        tensors = load_file(second / name)
        for key, tensor in load_file(first / name).items():
            assert torch.equal(tensor, tensors[key]), f"{name}: {key}"
    one, other = (
        torch.load(folder / "optimizer.pt", weights_only=True)["state"]
        for folder in (first, second)
    )
    assert one.keys() == other.keys()
    for key, moments in one.items():
        for name, tensor in moments.items():
            assert torch.equal(tensor, other[key][name]), f"optimizer: {key} {name}"


# --- schedule and seeds -------------------------------------------------------------------------


def test_learning_rate_curve() -> None:
    config = OptimConfig(steps=100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert set(rates[9:81]) == {1.0}
    assert rates[90] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert rates[80:] == sorted(rates[80:], reverse=True)
    constant = OptimConfig(steps=100, learning_rate=1e-5)
    assert {learning_rate(step, constant) for step in range(101)} == {1e-5}


def test_steps_and_processes_have_their_own_seeds() -> None:
    seeds = {step_seed(*numbers) for numbers in product((0, 1), repeat=3)}
    assert len(seeds) == 8
    assert step_seed(0, 5, 1) == step_seed(0, 5, 1)


# --- runs ---------------------------------------------------------------------------------------


def test_two_steps_make_a_checkpoint_that_edits(configure) -> None:
    config = configure()
    folder = train(config)
    output = Path(config.run.output)
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        assert 0 < line["loss"] < 100
        assert line["gradient_norm"] > 0
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
        encode_identity(checkpoint, picture),
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
            "model.attribute_controller=convolution",
            "optim.steps=1",
        )
    )
    checkpoint = load_checkpoint(folder, "cpu")
    assert checkpoint.controller is not None
    assert checkpoint.scheduler_config["prediction_type"] == prediction


def test_tuning_a_magicface_checkpoint(configure, tiny_checkpoint: Path) -> None:
    folder = train(
        configure("model.start=magicface", f"model.start_folder={tiny_checkpoint}", "optim.steps=1")
    )
    before, after = load_checkpoint(tiny_checkpoint, "cpu"), load_checkpoint(folder, "cpu")
    assert not torch.equal(before.denoiser.conv_in.weight, after.denoiser.conv_in.weight)
    assert torch.equal(before.prompt_embeds, after.prompt_embeds)


def resume_here(arguments: list[str]) -> None:
    assert main([*arguments, "--resume"]) == 0


def resume_in_a_new_process(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "magicface_training.train", *arguments, "--resume"]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)


@pytest.mark.parametrize("resume", [resume_here, resume_in_a_new_process])
def test_resumed_run_is_bit_identical(
    configure, overrides: list[str], straight: Path, resume: Callable[[list[str]], None]
) -> None:
    train(configure())
    sets = [text for override in [*overrides, "optim.steps=4"] for text in ("--set", override)]
    resume(["--config", str(CONFIG), *sets])
    output = Path(next(o for o in overrides if o.startswith("run.output=")).partition("=")[2])
    assert_same_state(straight, output / "state-00000004")
    assert json.loads((output / "state-00000004" / "trainer.json").read_text())["step"] == 4


def test_validation_changes_nothing(configure, straight: Path, tmp_path: Path) -> None:
    output = tmp_path / "validated"
    train(configure("optim.steps=4", "run.validate_every=2", f"run.output={output}"))
    assert_same_state(straight, output / "state-00000004")
    assert (output / "validation.png").is_file()
    lines = [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "one_step_ratio" in line] == [2, 4]


def test_old_states_go(configure) -> None:
    config = configure("optim.steps=3", "run.save_every=1", "run.keep=2")
    train(config)
    names = sorted(path.name for path in Path(config.run.output).iterdir())
    assert names == ["checkpoint", "log.jsonl", "state-00000002", "state-00000003"]


def test_command_line_reports_mistakes(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(CONFIG), "--set", "optim.lr=1"])
    assert caught.value.code == 2
    assert "magicface-train: unknown settings ['lr']" in capsys.readouterr().err
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(tmp_path / "absent.yaml")])
    assert caught.value.code == 2
