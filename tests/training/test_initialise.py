"""The three starts of training, and the parameters that never get a gradient."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from magicface_training.autoencoder import write
from magicface_training.config import ConfigError
from magicface_training.initialise import Networks, Start, dead_parameters, initialise
from safetensors.torch import save_file
from torch import Tensor

from magicface_core.errors import CheckpointError
from magicface_core.network import load_checkpoint
from magicface_core.network.tiny import TINY_UNET
from magicface_core.network.unet import AU_COUNT, build_unet
from magicface_core.network.weights import read_config

GOLDEN_NETWORK = Path(__file__).parents[1] / "golden" / "network"


def released_shape() -> Networks:
    torch.manual_seed(0)
    denoiser = build_unet(read_config(GOLDEN_NETWORK / "denoising_unet"), AU_COUNT)
    return Networks(denoiser, build_unet(read_config(GOLDEN_NETWORK / "ID_enc"), None), None)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def predicted(start: Start, condition: Tensor, delta: Tensor, channels: int = 4) -> Tensor:
    inputs = (random(2, channels, 4, 4), condition, random(1, channels, 4, 4, seed=1), delta)
    with torch.no_grad():
        return start.networks(*inputs, torch.tensor([10, 500]), start.prompt_embeds)


# --- gradients ----------------------------------------------------------------------------------


def test_dead_parameters_are_those_without_gradient() -> None:
    networks = released_shape()
    dead = {id(p) for p in dead_parameters(networks.id_encoder)}
    assert len(dead) == 26
    networks.requires_grad_(True)
    inputs = (random(2, 4, 8, 8), random(2, 4, 8, 8, seed=1), random(1, 4, 8, 8, seed=2))
    delta, timestep = random(2, 12, seed=3), torch.tensor([3, 700])
    networks(*inputs, delta, timestep, random(1, 5, 32, seed=4)).square().mean().backward()
    without = {id(p) for p in networks.parameters() if p.grad is None}
    assert without == dead
    for name, parameter in networks.named_parameters():
        if id(parameter) not in dead:
            assert parameter.grad is not None
            assert torch.isfinite(parameter.grad).all(), name
    assert networks.denoiser.class_embedding.weight.grad.any()
    assert networks.id_encoder.conv_in.weight.grad.any()


def test_dead_parameters_are_frozen_from_the_start() -> None:
    frozen = {n for n, p in released_shape().named_parameters() if not p.requires_grad}
    assert len(frozen) == 26
    last = "id_encoder.up_blocks.3.attentions.2."
    ends = (f"{last}transformer_blocks.0.", f"{last}proj_out.", "id_encoder.conv_")
    assert all(name.startswith(ends) for name in frozen)


def test_targets_share_the_run_of_the_id_encoder() -> None:
    networks = released_shape()
    sizes: list[int] = []
    networks.id_encoder.conv_in.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    inputs = (random(6, 4, 8, 8), random(6, 4, 8, 8), random(2, 4, 8, 8), random(6, 12))
    with torch.no_grad():
        networks(*inputs, torch.full((6,), 9), random(1, 5, 32))
    assert sizes == [2]


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
    """A diffusers folder in the shape of Stable Diffusion, with tiny random networks."""
    from magicface_core.network.autoencoder import PatchAutoencoder

    folder = tmp_path / "sd"
    torch.manual_seed(0)
    unet = build_unet({**TINY_UNET, "in_channels": 4, "out_channels": 4}, None)
    (folder / "unet").mkdir(parents=True)
    unet.save_config(folder / "unet")
    save_file(unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    write(PatchAutoencoder(latent_channels=4, width=4, blocks=1), folder / "vae")
    save_file({"prompt_embeds": random(1, 7, 4)}, folder / "prompt_embeds.safetensors")
    return folder


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
