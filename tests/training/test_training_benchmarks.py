"""The benchmarks of training run, and count what they say they count."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from magicface_training.config import load_config

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def memory() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("training_memory")


def test_every_way_of_training_is_timed(
    memory: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = importlib.import_module("training_speed")
    assert speed.main(["--size", "smallest", "--steps", "1", "--set", "optim.accumulation=1"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"seed", "versions", "machine", "config", "size"} <= result.keys()
    ways = [(w["cached_latents"], w["gradient_checkpointing"]) for w in result["ways"]]
    assert ways == [(False, False), (False, True), (True, False), (True, True)]
    for way in result["ways"]:
        assert way["samples_per_second"] == pytest.approx(2 / way["seconds_per_step"])


def test_storages_are_counted_once_and_until_they_go(memory: ModuleType) -> None:
    with memory.LiveMemory() as counted:
        first = torch.zeros(1000)
        view = first.view(10, 100)[2:]
        assert counted.current == 4000
        second = first + 1
        assert counted.current == 8000
        del first
        assert counted.current == 8000  # the view keeps it
        del view
        assert counted.current == 4000
        del second
    assert (counted.current, counted.peak) == (0, 8000)


def test_parts_of_the_accounted_peak(memory: ModuleType) -> None:
    size = memory.SIZES["smallest"]
    plain, saving = (
        memory.account(size, load_config("paper.yaml", ["data.cache=latents", *settings]))
        for settings in ((), ("optim.gradient_checkpointing=true", "optim.ema=off"))
    )
    torch.manual_seed(0)
    networks = memory.random_start(size).networks
    weights = sum(p.nbytes for p in networks.parameters()) / 2**30
    trained = sum(p.nbytes for p in networks.parameters() if p.requires_grad) / 2**30
    assert plain["weights"] == pytest.approx(weights)
    assert plain["moments"] == pytest.approx(2 * trained)
    assert plain["average"] == pytest.approx(trained)
    assert saving["average"] == 0
    assert saving["after_forward"] < 0.9 * plain["after_forward"]
    for result in (plain, saving):
        assert result["passes"] > 2 * trained  # weights and gradients
        kept = result["passes"] + result["moments"] + result["average"]
        assert result["peak"] == pytest.approx(kept)


def test_the_command_says_how_it_counted(
    memory: ModuleType, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "account", lambda size, config: {"peak": config.optim.steps / 1e5})
    assert memory.main(["--size", "smallest", "--account", "--configs", "16gb.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "16gb.yaml: GiB accounted: peak 1.00"
    result = json.loads(lines[-1])
    assert (result["how"], result["size"]) == ("accounted", "smallest")
    assert result["gib"] == {"16gb.yaml": {"peak": 1.0}}
