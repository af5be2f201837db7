"""Several processes, or accumulated micro-batches, make the same run as one process does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from magicface_training.train import train
from runs import largest_difference, log_lines

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).parents[2] / "training" / "configs" / "tiny-cpu.yaml"
CLOSE = 2e-5  # weights after three steps of up to 6e-4; sums are made in another order
SETTINGS = ("optim.steps=3", "optim.weight_decay=0.0", "run.save_every=1", "run.keep=3")


@pytest.fixture(scope="module")
def whole(trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One process, batches of two identity images."""
    from magicface_training.config import load_config

    output = tmp_path_factory.mktemp("whole")
    train(load_config(CONFIG, [*trial(output), *SETTINGS]))
    return output


def assert_same_run(output: Path, whole: Path) -> None:
    for step in (1, 2, 3):
        name = f"state-{step:08d}"
        assert largest_difference(whole / name, output / name) < CLOSE
    for one, other in zip(log_lines(whole), log_lines(output), strict=True):
        assert one["learning_rate"] == other["learning_rate"]
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
        assert one["gradient_norm"] == pytest.approx(other["gradient_norm"], rel=1e-3)


def test_accumulation(configure, whole: Path) -> None:
    config = configure(*SETTINGS, "data.identities_per_step=1", "optim.accumulation=2")
    train(config)
    assert_same_run(Path(config.run.output), whole)


def test_torchrun_with_two_processes(overrides: list[str], tmp_path: Path, whole: Path) -> None:
    sets = [*overrides, *SETTINGS, "data.identities_per_step=1"]
    command = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]
    training = ["magicface_training.train", "--config", str(CONFIG)]
    arguments = [text for each in sets for text in ("--set", each)]
    subprocess.run(
        [sys.executable, "-m", *command, *training, *arguments],
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
    )
    assert_same_run(tmp_path / "run", whole)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
def test_going_on_with_another_number_of_processes(configure, whole: Path) -> None:
    """Its units are the same, so it is the same run; with fewer identity images it is not."""
    single = ("data.identities_per_step=1", "optim.gradient_checkpointing=true")
    first = configure(*SETTINGS, "optim.steps=1")
    train(first)
    assert forks.together(2, train, configure(*SETTINGS, *single), True) == [0, 0]
    output = Path(first.run.output)
    assert largest_difference(whole / "state-00000003", output / "state-00000003") < CLOSE
    from magicface_training.config import ConfigError

    with pytest.raises(ConfigError, match="units_per_step was 2, is 1"):
        train(configure(*SETTINGS, *single), resume=True)
