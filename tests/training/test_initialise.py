"""The three starts of training, for every way of identity and AUs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from magicface_training.config import ConfigError
from magicface_training.initialise import Start, dead_parameters, initialise
from tiny_start import write_clip, write_stable_diffusion
from torch import Tensor

from magicface_core.errors import CheckpointError
from magicface_core.network import load_checkpoint
from magicface_core.network.denoisers import ControlledUNet
from magicface_core.network.identity_paths import IDENTITY_PATHS
from magicface_core.network.tiny import write_tiny_checkpoint


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def predicted(start: Start, condition: Tensor, delta: Tensor, channels: int = 4) -> Tensor:
    inputs = (random(2, channels, 4, 4), condition, random(1, channels, 4, 4, seed=1), delta)
    with torch.no_grad():
        return start.networks(*inputs, torch.tensor([10, 500]), start.prompt_embeds)


# --- from scratch -------------------------------------------------------------------------------


def test_from_scratch(configure) -> None:
    start = initialise(configure("run.seed=3"))
    again, other = (initialise(configure(f"run.seed={seed}")) for seed in (3, 4))
    state = start.networks.state_dict()
    for name, tensor in again.networks.state_dict().items():
        assert torch.equal(tensor, state[name]), name
    weights = other.networks.denoiser.conv_in.weight
    assert not torch.equal(weights, start.networks.denoiser.conv_in.weight)
    assert start.prompt_embeds.shape == (1, 1, 4)
    assert not start.prompt_embeds.any()
    encoder = start.networks.id_encoder.conv_in.weight
    assert torch.equal(encoder, start.networks.denoiser.conv_in.weight[:, :4])
    assert start.info.locality == (1.0, 0.0)
    assert start.scheduler_config["prediction_type"] == "epsilon"
    assert not any(p.requires_grad for p in start.vae.parameters())


def test_missing_autoencoder(configure, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="lacks config"):
        initialise(configure(f"model.autoencoder={tmp_path}"))


# --- from Stable Diffusion ----------------------------------------------------------------------


@pytest.fixture
def stable_diffusion(tmp_path: Path) -> Path:
    return write_stable_diffusion(tmp_path / "sd")


@pytest.mark.parametrize("controller", ["concatenation", "convolution"])
def test_from_stable_diffusion(configure, stable_diffusion: Path, controller: str) -> None:
    start = initialise(
        configure(
            "model.start=stable-diffusion",
            f"model.start_folder={stable_diffusion}",
            'model.autoencoder=""',
            f"model.attribute_controller={controller}",
        )
    )
    denoiser, id_encoder = start.networks.denoiser, start.networks.id_encoder
    for name, tensor in id_encoder.state_dict().items():
        if name != "conv_in.weight":
            assert torch.equal(denoiser.state_dict()[name], tensor), name
    assert torch.equal(denoiser.conv_in.weight[:, :4], id_encoder.conv_in.weight)
    assert not denoiser.conv_in.weight[:, 4:].any()
    assert not any(p.any() for p in denoiser.class_embedding.parameters())
    assert start.prompt_embeds.shape == (1, 7, 4)
    assert start.info.attribute_controller == controller
    shape = (2, 4, 4, 4) if controller == "concatenation" else (2, 3, 32, 32)
    plain = predicted(start, torch.zeros(shape), torch.zeros(2, 12))
    other = predicted(start, random(*shape, seed=5), random(2, 12, seed=6))
    assert torch.equal(plain, other)


def test_locality_reaches_networks_from_stable_diffusion(configure, stable_diffusion: Path) -> None:
    """The exported checkpoint will apply it, so training must have, too."""
    base = ("model.start=stable-diffusion", f"model.start_folder={stable_diffusion}")
    start, plain = (
        initialise(configure(*base, 'model.autoencoder=""', f"model.locality={slopes}"))
        for slopes in ([1.0], [])
    )
    inputs = (torch.zeros(2, 4, 4, 4), torch.zeros(2, 12))
    assert not torch.equal(predicted(start, *inputs), predicted(plain, *inputs))


def test_stable_diffusion_without_its_parts(configure, stable_diffusion: Path) -> None:
    settings = ("model.start=stable-diffusion", 'model.autoencoder=""')
    with pytest.raises(ConfigError, match=r"set model\.start_folder"):
        initialise(configure(*settings))
    (stable_diffusion / "prompt_embeds.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"prompt_embeds\.safetensors is missing; save the text"):
        initialise(configure(*settings, f"model.start_folder={stable_diffusion}"))


# --- from MagicFace -----------------------------------------------------------------------------


def test_from_magicface(configure, tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, "cpu")
    start = initialise(
        configure(
            "model.start=magicface",
            f"model.start_folder={tiny_checkpoint}",
            "info.name=tuned",
            "info.crop_offset=[0.0, 0.5]",
            "info.resolution=64",
        )
    )
    for part in ("denoiser", "id_encoder"):
        state = getattr(start.networks, part).state_dict()
        for name, tensor in getattr(checkpoint, part).state_dict().items():
            assert torch.equal(state[name], tensor), name
    assert torch.equal(start.prompt_embeds, checkpoint.prompt_embeds)
    assert start.info.name == "tuned"
    assert start.info.crop_offset == (0.0, 0.5)
    assert start.info.guidance == 1.0  # tiny-cpu.yaml's; the checkpoint has 2.0
    dead = {id(p) for p in dead_parameters(start.networks.id_encoder)}
    for name, parameter in start.networks.named_parameters():
        assert parameter.requires_grad == (id(parameter) not in dead), name


def test_another_prediction_type_is_refused(configure, tiny_checkpoint: Path) -> None:
    settings = ("model.start=magicface", f"model.start_folder={tiny_checkpoint}")
    with pytest.raises(ConfigError, match="'sample', but the checkpoint was trained with 'epsilon"):
        initialise(configure(*settings, "objective.prediction=sample"))


# --- other ways of identity and AUs -------------------------------------------------------------

KINDS = [
    ("convolution", "linear"),
    ("image-encoder", "linear"),
    ("controlnet", "zero-append"),
    ("reference-attention", "convolution"),
]


@pytest.mark.parametrize(("identity", "units"), KINDS)
def test_kinds_from_scratch(configure, tmp_path: Path, identity: str, units: str) -> None:
    pytest.importorskip("transformers")
    start = initialise(
        configure(
            f"model.identity={identity}",
            f"model.action_units={units}",
            f"model.image_encoder={write_clip(tmp_path / 'clip')}",
        )
    )
    assert (start.info.identity, start.info.action_units) == (identity, units)
    denoiser = start.networks.denoiser
    if isinstance(denoiser, ControlledUNet):
        copied = denoiser.controlnet.conv_in.weight
        assert torch.equal(copied, denoiser.conv_in.weight)


@pytest.mark.parametrize(("identity", "units"), KINDS)
def test_kinds_of_a_checkpoint_stay(configure, tmp_path: Path, identity: str, units: str) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity=identity, action_units=units)
    settings = ("model.start=magicface", f"model.start_folder={folder}", "model.locality=[]")
    start = initialise(configure(*settings))
    assert (start.info.identity, start.info.action_units) == (identity, units)
    assert start.networks.identity_path is IDENTITY_PATHS[identity]
    asked = initialise(configure(*settings, f"model.identity={identity}"))
    assert asked.info == start.info
    other = next(kind for kind, _ in KINDS if kind not in (identity, "reference-attention"))
    with pytest.raises(ConfigError, match=rf"model\.identity is '{other}', but the checkpoint in"):
        initialise(configure(*settings, f"model.identity={other}"))


def test_a_controlnet_alone_on_a_magicface_checkpoint(configure, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity="controlnet")
    settings = ("model.start=magicface", f"model.start_folder={folder}", "model.locality=[]")
    start = initialise(
        configure(*settings, "model.identity=controlnet", "model.freeze_denoiser=true")
    )
    trained = {n for n, p in start.networks.named_parameters() if p.requires_grad}
    assert trained
    assert all(name.startswith("denoiser.controlnet.") for name in trained)


@pytest.mark.parametrize("settings", [(), ("model.identity=controlnet",)])
def test_a_frozen_denoiser_that_could_not_learn(configure, settings: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="freeze_denoiser leaves nothing that can learn"):
        initialise(configure("model.freeze_denoiser=true", *settings))


def test_an_image_encoder_that_is_not_named(configure) -> None:
    with pytest.raises(ConfigError, match=r"set model\.image_encoder to a folder"):
        initialise(configure("model.identity=image-encoder"))
