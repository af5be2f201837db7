"""Runs that are asked to stop, killed, or have no disk left."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forks
import magicface_training.state as state_module
import pytest
from magicface_training.config import TrainConfig
from magicface_training.state import StateError, latest, read_trainer, states
from magicface_training.train import train
from runs import assert_same_state, log_lines

from magicface_core import files

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs processes that fork")
STEPS = 4
FILES = 4  # of a state: average, networks, optimizer.pt, trainer.json


def saving_each_step(configure: Callable[..., TrainConfig]) -> TrainConfig:
    return configure(f"optim.steps={STEPS}", "run.save_every=1")


def reached(output: Path) -> int:
    """The step that a resumed run would start from."""
    folder = latest(output)
    return 0 if folder is None else int(read_trainer(folder)["step"])


# --- killed -------------------------------------------------------------------------------------


def kill_at(function: str, call: int) -> None:
    """End this process, as kill -9 does, at a call of a function that writes a state."""
    module = files if function == "put_in_place" else state_module
    original, calls = getattr(module, function), iter(range(1, 1000))

    def counting(*arguments: Any) -> object:
        other = function == "put_in_place" and "partial-" not in str(arguments[-1])
        if not other and next(calls) == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(module, function, counting)


def train_until_killed(config: TrainConfig, function: str, call: int) -> None:
    kill_at(function, call)
    train(config, resume=True)


def test_killed_at_any_moment_of_a_save(configure, straight: Path) -> None:
    """Each run of the chain goes on where the one before was killed; none loses a saved step."""
    config = saving_each_step(configure)
    output = Path(config.run.output)
    moments = [
        ("write_tensors", 1, 0),  # nothing is written of state 1
        ("put_in_place", 1, 0),  # the first file is there and has no name
        ("put_in_place", FILES + 1, 1),  # of state 2: state 1 is whole
        ("put_in_place", FILES, 1),  # of state 2: its last file
        ("_replace", 1, 1),  # state 2 only lacks its name
        ("flush_folder", 2, 2),  # state 2 has its name, which may not be on the disk yet
        ("write_tensors", 4, 3),  # halfway through state 4
    ]
    for function, call, expected in moments:
        code = forks.run(train_until_killed, config, function, call)
        assert code == -signal.SIGKILL, (function, call)
        assert reached(output) == expected, (function, call)
    (output / ".0123.part").write_text("half")  # of a log or picture
    train(config, resume=True)
    assert_same_state(straight, output / f"state-{STEPS:08d}")
    assert not [*output.glob("partial-*"), *output.rglob(".*.part")]
    assert [line["step"] for line in log_lines(output)] == [1, 2, 3, 4]


def test_killed_from_outside(configure, straight: Path) -> None:
    config = saving_each_step(configure)
    output = Path(config.run.output)
    for step in (1, 3):
        process = forks.start(train, config, True)
        wait_for(output / f"state-{step:08d}")
        process.kill()
        assert forks.wait(process) == -signal.SIGKILL
        assert reached(output) >= step
    train(config, resume=True)
    assert_same_state(straight, output / f"state-{STEPS:08d}")


def wait_for(path: Path) -> None:
    until = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.001)


# --- asked to stop ------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_saves_and_ends_well(configure, number: signal.Signals) -> None:
    config = configure("optim.steps=100000", "run.save_every=100000")
    output = Path(config.run.output)
    process = forks.start(train, config)
    wait_for(output / "log.jsonl")
    assert process.pid is not None
    os.kill(process.pid, number)
    assert forks.wait(process) == 0
    (folder,) = states(output)
    assert latest(output) == folder
    assert reached(output) == log_lines(output)[-1]["step"] > 0
    assert not (output / "checkpoint").exists()


# --- no disk left -------------------------------------------------------------------------------


def train_with_small_files(config: TrainConfig, report: Path) -> None:
    """Files larger than the limit fail as on a full disk."""
    limit = 40_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        train(config, resume=True)
    except StateError as error:
        report.write_text(str(error))


def test_full_disk(configure, tmp_path: Path, straight: Path) -> None:
    train(configure("optim.steps=1"))
    config = configure("optim.steps=4")
    output, report = Path(config.run.output), tmp_path / "report.txt"
    before = {p: p.read_bytes() for p in (output / "state-00000001").iterdir()}
    assert forks.run(train_with_small_files, config, report) == 0
    text = report.read_text()
    assert "state-00000004 cannot be written: " in text
    assert "state-00000001 is untouched; make room" in text
    assert {p: p.read_bytes() for p in (output / "state-00000001").iterdir()} == before
    assert [p.name for p in output.glob("*-0*")] == ["state-00000001"]
    train(config, resume=True)
    assert_same_state(straight, output / "state-00000004")


def test_too_little_room_is_noticed_before_writing(
    configure, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(state_module.shutil, "disk_usage", lambda _: usage)
    config = configure("optim.steps=1")
    with pytest.raises(StateError, match=r"it takes .* GB, and 1e-06 GB are free\. Make room"):
        train(config)
    assert not list(Path(config.run.output).glob("*-0*"))
