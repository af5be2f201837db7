"""The one command behind the embedded checkpoint."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from magicface_training import make_mini
from magicface_training.config import load_config


def test_steps_come_in_order_and_share_their_folders(tmp_path: Path) -> None:
    steps = make_mini.commands(tmp_path, 3, 2, 2, ["optim.steps=1"])
    modules = [[word for word in step if word.startswith("magicface_training.")] for step in steps]
    assert modules == [
        ["magicface_training.data.render"],
        ["magicface_training.data.render"],
        ["magicface_training.autoencoder"],
        ["magicface_training.train"],
    ]
    train = steps[-1]
    overrides = [value for key, value in itertools.pairwise(train) if key == "--set"]
    config = load_config(train[train.index("--config") + 1], overrides)
    assert config.data.train == str(tmp_path / "train")
    assert config.run.output == str(tmp_path)
    assert config.optim.steps == 1
    assert train[train.index("--nproc_per_node") + 1] == "2"


def test_a_fitted_autoencoder_is_kept(tmp_path: Path) -> None:
    (tmp_path / "autoencoder").mkdir()
    (tmp_path / "autoencoder" / "config.json").write_text("{}")
    steps = make_mini.commands(tmp_path, 3, 2, 2, [])
    assert not any("magicface_training.autoencoder" in step for step in steps)


def test_a_failing_step_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [["-c", "raise SystemExit(3)"], ["-c", f"open({str(tmp_path / 'ran')!r}, 'w')"]]
    monkeypatch.setattr(make_mini, "commands", lambda *_: broken)
    assert make_mini.main(["--out", str(tmp_path)]) == 3
    assert not (tmp_path / "ran").exists()
