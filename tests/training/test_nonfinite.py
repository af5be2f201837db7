"""A loss that is not finite stops the run before it does harm, and keeps what made it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.nonfinite import NonFiniteError
from magicface_training.state import latest
from magicface_training.train import main, train
from runs import assert_same_state
from safetensors import safe_open


def poisoned(shards: Path, folder: Path) -> Path:
    """The shards with one action unit that is not a number."""
    folder.mkdir()
    for path in shards.glob("*.npz"):
        arrays = dict(np.load(path))
        arrays["au"][0, :, 3] = np.nan
        np.savez(folder / path.name, **arrays)
    return folder


def test_nan_stops_the_run(configure, straight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its third step, which has not changed anything: the run can go on from there."""
    import magicface_training.steps as steps

    config = configure("optim.steps=4", "run.save_every=1", "run.keep=9")
    original, calls = steps.edit_loss, iter(range(100))

    def spoilt(*arguments: object) -> torch.Tensor:
        loss = original(*arguments)  # type: ignore[arg-type]
        return loss * float("nan") if next(calls) == 2 else loss

    monkeypatch.setattr(steps, "edit_loss", spoilt)
    with pytest.raises(NonFiniteError) as caught:
        train(config)
    output = Path(config.run.output)
    (path,) = (output / "failed").iterdir()
    assert "step 2: the loss is [nan], the gradient's norm nan." in str(caught.value)
    assert str(path) in str(caught.value)
    assert "--resume" in str(caught.value)
    with safe_open(path, "pt") as file:
        assert json.loads(file.metadata()["facts"])["step"] == 2
        assert {"batch.target", "batch.delta", "batch.position", "draw.noise"} <= set(file.keys())
        assert file.get_tensor("batch.position").tolist() == [4, 5]
    assert latest(output) == output / "state-00000002"
    train(config, resume=True)
    assert_same_state(straight, output / "state-00000004")


def test_nan_in_the_data(
    overrides: list[str], shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [*overrides, f"data.train={poisoned(shards, tmp_path / 'poisoned')}"]
    arguments = [text for each in sets for text in ("--set", each)]
    with pytest.raises(SystemExit) as caught:
        main(["--config", "tiny-cpu.yaml", *arguments])
    assert caught.value.code == 2
    assert "magicface-train: " in capsys.readouterr().err


def test_infinite_gradient(configure, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its loss is finite, so all micro-batches of the step are kept."""
    import magicface_training.steps as steps

    config = configure("optim.accumulation=2", "data.identities_per_step=1")
    monkeypatch.setattr(steps, "gradient_norms", lambda _: {"denoiser": float("inf")})
    with pytest.raises(NonFiniteError, match="the gradient's norm inf"):
        train(config)
    names = sorted(p.name for p in (Path(config.run.output) / "failed").iterdir())
    assert names == [f"step-00000000-process-0-{index}.safetensors" for index in (0, 1)]
