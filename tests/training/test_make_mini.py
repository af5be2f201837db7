"""The one command behind the embedded checkpoint."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from magicface_training import make_mini
from magicface_training.config import TrainConfig, load_config


def modules(steps: list[list[str]]) -> list[str]:
    return [next(word for word in step if word.startswith("magicface_training.")) for step in steps]


def settings(step: list[str]) -> TrainConfig:
    overrides = [value for key, value in itertools.pairwise(step) if key == "--set"]
    return load_config(step[step.index("--config") + 1], overrides)


def test_steps_come_in_order_and_share_their_folders(tmp_path: Path) -> None:
    steps = make_mini.commands(tmp_path, 3, 2, 2, ["optim.steps=1"])
    assert modules(steps) == [
        "magicface_training.data.render",
        "magicface_training.data.render",
        "magicface_training.autoencoder",
        "magicface_training.train",
        "magicface_training.autoencoder",
        "magicface_training.train",
        *["magicface_training.au_regressor"] * 3,
        "magicface_training.train",
        "magicface_training.data.painted_sets",
        "magicface_training.painter",
    ]
    first, second, last = (settings(steps[number]) for number in (3, 5, 9))
    for config in (first, second, last):
        assert config.data.train == str(tmp_path / "train")
        assert config.optim.steps == 1
    assert second.model.start_folder == f"{first.run.output}/checkpoint"
    assert last.model.start_folder == f"{second.run.output}/checkpoint"
    assert last.run.output == str(tmp_path / "plain")
    for step in steps[10:]:
        assert step[step.index("--checkpoint") + 1] == f"{last.run.output}/checkpoint"
    assert steps[10][steps[10].index("--out") + 1] == steps[11][steps[11].index("--data") + 1]
    assert steps[11][steps[11].index("--out") + 1] == str(tmp_path / "checkpoint")
    readers = [step[step.index("--out") + 1] for step in steps[6:9]]
    assert last.objective.au_readers == tuple(readers)
    assert "--teaching" in steps[6]
    assert steps[7][steps[7].index("--data") + 1] == str(tmp_path / "train")
    assert len({first.run.output, second.run.output, last.run.output}) == 3
    assert steps[2][steps[2].index("--out") + 1] == first.model.autoencoder
    assert steps[4][steps[4].index("--start") + 1] == first.model.autoencoder
    assert steps[4][steps[4].index("--out") + 1] == second.model.wider_autoencoder
    assert steps[5][steps[5].index("--nproc_per_node") + 1] == "2"


def test_what_is_made_is_kept(tmp_path: Path) -> None:
    readers = [f"reader-{seed}.safetensors" for seed in make_mini.READERS]
    for made in ("autoencoder/config.json", "start/autoencoder/config.json", *readers):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).write_text("{}")
    kept = modules(make_mini.commands(tmp_path, 3, 2, 2, []))
    painter = ["magicface_training.data.painted_sets", "magicface_training.painter"]
    assert kept[2:] == ["magicface_training.train"] * 3 + painter
    for left, part in ((2, "start"), (1, "move"), (0, "plain"), (0, ".")):
        (tmp_path / part / "checkpoint").mkdir(parents=True)
        (tmp_path / part / "checkpoint" / "magicface.json").write_text("{}")
        kept = modules(make_mini.commands(tmp_path, 3, 2, 2, []))
        assert kept.count("magicface_training.train") == left
        assert ("magicface_training.painter" in kept) == (part != ".")


def test_a_failing_step_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [["-c", "raise SystemExit(3)"], ["-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]]
    monkeypatch.setattr(make_mini, "commands", lambda *_: broken)
    assert make_mini.main(["--out", str(tmp_path)]) == 3
    assert not (tmp_path / "ran").exists()
