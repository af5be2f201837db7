"""State folders: damaged ones are passed over, and nothing in them is executed."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from magicface_training.settings import ConfigError
from magicface_training.state import StateError, latest, verify
from magicface_training.train import train
from runs import assert_same_state

from magicface_core.files import file_sha256


@pytest.fixture(scope="module")
def two_states(trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from magicface_training.config import load_config

    output = tmp_path_factory.mktemp("two") / "run"
    settings = [*trial(output), "run.save_every=1", "optim.steps=2"]
    train(load_config("tiny-cpu.yaml", settings))
    return output


@pytest.fixture
def output(two_states: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(two_states, tmp_path / "run"))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def turn_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("networks.safetensors", truncate),
    ("average.safetensors", turn_a_bit),
    ("optimizer.pt", Path.unlink),
    ("trainer.json", truncate),
    ("trainer.json", Path.unlink),
    ("trainer.json", lambda path: path.write_text("{}")),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_state_is_passed_over(
    output: Path, name: str, damage: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    damage(output / "state-00000002" / name)
    assert latest(output) == output / "state-00000001"
    assert "state-00000002" in caplog.text
    assert "trying the state before it" in caplog.text
    damage(output / "state-00000001" / name)
    with pytest.raises(StateError, match=r"none of the 2 states in .* is whole"):
        latest(output)


def test_a_run_replaces_the_damaged_state(configure, output: Path, two_states: Path) -> None:
    truncate(output / "state-00000002" / "optimizer.pt")
    config = configure("run.save_every=1", "optim.steps=2", f"run.output={output}")
    train(config, resume=True)
    verify(output / "state-00000002")
    assert_same_state(output / "state-00000002", two_states / "state-00000002")


def test_no_states(tmp_path: Path) -> None:
    assert latest(tmp_path) is None
    (tmp_path / "partial-00000003").mkdir()
    assert latest(tmp_path) is None


class Command:
    """Unpickling it would make a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_nothing_in_a_state_is_executed(configure, output: Path, tmp_path: Path) -> None:
    folder = output / "state-00000002"
    torch.save({"state": Command(tmp_path / "executed")}, folder / "optimizer.pt")
    tree = json.loads((folder / "trainer.json").read_text())
    tree["files"]["optimizer.pt"] = file_sha256(folder / "optimizer.pt")
    (folder / "trainer.json").write_text(json.dumps(tree))
    with pytest.raises(StateError, match=r"optimizer\.pt holds more than tensors"):
        train(configure("optim.steps=4", f"run.output={output}"), resume=True)
    assert not (tmp_path / "executed").exists()


def test_other_networks(configure, output: Path) -> None:
    settings = ("optim.steps=4", f"run.output={output}")
    with pytest.raises(ConfigError, match="holds other networks or another optimiser"):
        train(configure(*settings, "model.attribute_controller=convolution"), True, True)
