"""Where the numbers go."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from magicface_training.config import ConfigError
from magicface_training.trackers import Meter, RunLog, check_tracker, start_tracker
from magicface_training.train import train
from runs import log_lines


def test_tensorboard_shows_numbers_and_pictures(configure) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    grid = ("identities=1", "aus=[12]", "guidance=[1.0]", "steps=1", "probe=false")
    settings = [f"validation.{setting}" for setting in grid]
    config = configure("run.tracker=tensorboard", "run.validate_every=2", *settings)
    train(config)
    output = Path(config.run.output)
    folders = {path.parent for path in output.rglob("events.out.tfevents.*")}
    scalars: dict[str, list[float]] = {}
    pictures: list[str] = []
    for folder in folders:
        events = EventAccumulator(str(folder))
        events.Reload()
        pictures += events.Tags()["images"]
        for name in events.Tags()["scalars"]:
            scalars[name] = [event.value for event in events.Scalars(name)]
    logged = [line["loss"] for line in log_lines(output) if "loss" in line]
    assert scalars["loss"] == pytest.approx(logged)
    assert "validation_loss" in scalars
    assert pictures == ["edits"]


@pytest.mark.parametrize("name", ["wandb", "trackio", "tensorboard"])
def test_missing_package(name: str, monkeypatch: pytest.MonkeyPatch, configure) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=rf"'{name}', which is not installed.*\[track\]"):
        train(configure(f"run.tracker={name}"))
    check_tracker("none")


def test_trackers_are_imported_when_asked_for(configure) -> None:
    assert not {"wandb", "trackio"} & set(sys.modules)
    train(configure("optim.steps=1"))
    assert not {"wandb", "trackio"} & set(sys.modules)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, {"mode": "offline"}), ({"WANDB_MODE": "online"}, {}), ({"WANDB_API_KEY": "k"}, {})],
)
def test_wandb_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: dict[str, str]
) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    asked: list[dict[str, dict[str, str]]] = []

    class Recorder:
        project_dir = "runs/x"

        def init_trackers(
            self, project: str, config: dict[str, object], init_kwargs: dict[str, dict[str, str]]
        ) -> None:
            assert config == {"seed": 1, "optim": '{"steps": 3}'}
            asked.append(init_kwargs)

    start_tracker(Recorder(), "wandb", {"seed": 1, "optim": {"steps": 3}})  # type: ignore[arg-type]
    assert asked == [{"wandb": {"dir": "runs/x", **expected}}]
    start_tracker(Recorder(), "none", {})  # type: ignore[arg-type]
    assert len(asked) == 1


def test_lines_after_the_state_are_dropped(tmp_path: Path) -> None:
    """A killed run wrote them; the resumed one writes them again."""
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step, "loss": 1.0}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    log = RunLog(tmp_path, Accelerator(), step=2)
    log.write(3, {"loss": 2.0})
    assert [(line["step"], line["loss"]) for line in log_lines(tmp_path)] == [
        (1, 1.0),
        (2, 1.0),
        (3, 2.0),
    ]


def test_meter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    meter = Meter(torch.device("cpu"))
    meter.add({"loss": 1.0}, samples=4)
    meter.add({"loss": 3.0}, samples=4)
    now[0] += 4.0
    with meter.paused():
        now[0] += 50.0
    values = meter.read(waited=1.0)
    assert values["loss"] == 2.0
    assert values["samples_per_second"] == 2.0
    assert values["data_wait_share"] == 0.25
    assert np.isfinite(values["memory_gb"])
    now[0] += 1.0
    meter.add({"loss": 5.0}, samples=1)
    assert meter.read()["loss"] == 5.0
