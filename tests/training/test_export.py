"""Checkpoints made of states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from magicface_training.comparison import config_hash
from magicface_training.config import ConfigError
from magicface_training.export import export_state, main
from magicface_training.state import StateError
from magicface_training.train import train
from safetensors.torch import load_file

from magicface_core.editing.magicface import MagicFace
from magicface_core.errors import OutputError
from magicface_core.network.weights import read_metadata


@pytest.mark.parametrize("name", ["checkpoint", "checkpoint.safetensors"])
def test_exported_state_loads(straight: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "made" / name
    assert main([str(straight.parent), "--out", str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == [name]
    magicface = MagicFace.load(out, device="cpu")
    average = load_file(straight / "average.safetensors")
    weights = magicface.checkpoint.denoiser.conv_in.weight
    assert torch.equal(weights, average["denoiser.conv_in.weight"].half().float())
    training = magicface.checkpoint.info.training
    assert (training["steps"], training["weights"]) == (4, "average")
    state = json.loads((straight / "trainer.json").read_text())
    assert training["fingerprint"] == state["fingerprint"]
    assert training["versions"]["torch"]
    assert len(training["config_sha256"]) == 64


def test_metadata_of_one_file(straight: Path, tmp_path: Path) -> None:
    out = export_state(straight, tmp_path / "one.safetensors")
    metadata = read_metadata(out)
    info = json.loads(metadata["magicface"])
    assert info["name"] == "tiny"
    assert info["training"]["config"]["optim"]["steps"] == 4
    assert {"denoising_unet", "ID_enc", "vae", "scheduler"} <= metadata.keys()


def test_trained_weights_in_full_precision(straight: Path, tmp_path: Path) -> None:
    out = tmp_path / "trained"
    export_state(straight, out, "trained", torch.float32)
    trained = load_file(straight / "networks.safetensors")
    exported = load_file(out / "denoising_unet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(exported["conv_in.weight"], trained["denoiser.conv_in.weight"])
    assert "au_aug_mlp.weight" in exported or "au_aug_mlp.linear_1.weight" in exported


def test_settings_can_be_given_anew(straight: Path, tmp_path: Path) -> None:
    moved = "model.autoencoder=nowhere"
    with pytest.raises(Exception, match="nowhere"):
        export_state(straight, tmp_path / "out", overrides=[moved])
    export_state(straight, tmp_path / "out", overrides=["info.name=renamed"])
    assert json.loads((tmp_path / "out" / "magicface.json").read_text())["name"] == "renamed"


def test_mistakes(
    configure, straight: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(OutputError, match="exists; choose another name"):
        export_state(straight, tmp_path)
    with pytest.raises(StateError, match=r"has no readable trainer\.json"):
        export_state(tmp_path / "state-00000009", tmp_path / "out")
    config = configure("optim.ema=off", "optim.steps=1")
    train(config)
    state = Path(config.run.output) / "state-00000001"
    with pytest.raises(ConfigError, match="has no average"):
        export_state(state, tmp_path / "out", "average")
    export_state(state, tmp_path / "out")
    with pytest.raises(SystemExit) as caught:
        main([str(tmp_path / "empty"), "--out", str(tmp_path / "other")])
    assert caught.value.code == 2
    assert "magicface-export: " in capsys.readouterr().err


def test_the_hash_is_of_the_run(straight: Path, tmp_path: Path) -> None:
    from magicface_training.config import parse_config

    out = export_state(straight, tmp_path / "out")
    training = json.loads((out / "magicface.json").read_text())["training"]
    state = json.loads((straight / "trainer.json").read_text())
    assert training["config_sha256"] == config_hash(parse_config(state["config"]))
