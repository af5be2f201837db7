"""The trained module: which parameters never get a gradient, and what is shared."""

from __future__ import annotations

from pathlib import Path

import torch
from magicface_training.networks import Networks, dead_parameters
from torch import Tensor

from magicface_core.network.unet import AU_COUNT, build_unet
from magicface_core.network.weights import read_config

GOLDEN_NETWORK = Path(__file__).parents[1] / "golden" / "network"


def released_shape() -> Networks:
    torch.manual_seed(0)
    denoiser = build_unet(read_config(GOLDEN_NETWORK / "denoising_unet"), AU_COUNT)
    return Networks(denoiser, build_unet(read_config(GOLDEN_NETWORK / "ID_enc"), None), None)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


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
