"""The benchmark of loading runs, and tells fast steps from slow ones."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
from magicface_training.config import DataConfig
from magicface_training.data.sources import open_source
from pair_shards import READERS

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "loading_speed.py"


@pytest.fixture(scope="module")
def loading_speed() -> ModuleType:
    spec = importlib.util.spec_from_file_location("loading_speed", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("reader", READERS)
def test_every_way_is_measured(
    loading_speed: ModuleType, capsys: pytest.CaptureFixture[str], reader: str
) -> None:
    arguments = (
        f"--readers {reader} --rows 6 --size 64 --workers 0 --batch 2 --steps 2 --step-seconds 0.01"
    )
    assert loading_speed.main(arguments.split()) == 0
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    ways = {(result["reader"], result["latents"]) for result in results}
    assert ways == {(reader, latents) for latents in (False, True)}
    for result in results:
        assert result["samples_per_second"] > 0
        assert 0 < result["stall_share"] < 1


def test_long_steps_wait_less(loading_speed: ModuleType, pair_shards: Path) -> None:
    source = open_source(pair_shards, "train", DataConfig())
    short, long = (
        loading_speed.measure(source, DataConfig(), 0, 3, seconds)["stall_share"]
        for seconds in (0.0, 0.3)
    )
    assert long < short
