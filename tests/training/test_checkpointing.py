"""Gradients through reference attention: recomputed ones, and those that cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from magicface_training.networks import Networks, dead_parameters
from magicface_training.run import enable_checkpointing
from torch import Tensor

from magicface_core.network.unet import AU_COUNT, build_unet
from magicface_core.network.weights import read_config

GOLDEN_NETWORK = Path(__file__).parents[1] / "golden" / "network"
STABLE_DIFFUSION = {
    "sample_size": 64,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "out_channels": 4,
}


def released_shape() -> Networks:
    """The released layout with few channels."""
    torch.manual_seed(0)
    denoiser = build_unet(read_config(GOLDEN_NETWORK / "denoising_unet"), AU_COUNT)
    return Networks(denoiser, build_unet(read_config(GOLDEN_NETWORK / "ID_enc"), None), None)


def predict(networks: Networks, width: int, tokens: int = 5) -> Tensor:
    torch.manual_seed(1)
    shapes = [(4, 4, 8, 8), (4, 4, 8, 8), (2, 4, 8, 8), (4, 12)]
    noisy, condition, identity, delta = (torch.randn(shape) for shape in shapes)
    timestep, prompt = torch.tensor([3, 700, 999, 0]), torch.randn(1, tokens, width)
    return networks(noisy, condition, identity, delta, timestep, prompt)


def gradients(networks: Networks) -> dict[str, Tensor | None]:
    predict(networks, width=32).square().mean().backward()
    return {name: parameter.grad for name, parameter in networks.named_parameters()}


def test_gradients_are_identical_with_checkpointing(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = gradients(released_shape())
    networks = released_shape()
    enable_checkpointing(networks)
    original, reentrant = torch.utils.checkpoint.checkpoint, []

    def spy(*arguments: object, **options: object) -> object:
        reentrant.append(options.get("use_reentrant"))
        return original(*arguments, **options)

    monkeypatch.setattr("torch.utils.checkpoint.checkpoint", spy)
    recomputed = gradients(networks)
    assert len(reentrant) > 20
    assert set(reentrant) == {False}
    assert plain.keys() == recomputed.keys()
    for name, gradient in plain.items():
        other = recomputed[name]
        assert (gradient is None) == (other is None), name
        if gradient is not None and other is not None:
            assert torch.equal(gradient, other), name
    learning = [g for n, g in recomputed.items() if n.startswith("id_encoder.") and g is not None]
    assert len(learning) == len(list(networks.id_encoder.parameters())) - 26
    assert sum(bool(g.any()) for g in learning) > 0.9 * len(learning)
    assert networks.id_encoder.conv_in.weight.grad.any()


def test_released_layout_has_26_tensors_without_gradient() -> None:
    """Of Stable Diffusion 1.5's size, with shapes but no numbers: nothing is computed."""
    with torch.device("meta"):
        denoiser = build_unet({**STABLE_DIFFUSION, "in_channels": 8}, AU_COUNT)
        networks = Networks(
            denoiser, build_unet({**STABLE_DIFFUSION, "in_channels": 4}, None), None
        )
        networks.requires_grad_(True)
        predict(networks, width=768).square().mean().backward()
    without = {n for n, p in networks.named_parameters() if p.grad is None}
    dead = {id(p) for p in dead_parameters(networks.id_encoder)}
    assert {n for n, p in networks.named_parameters() if id(p) in dead} == without
    sizes = dict(networks.named_parameters())
    assert len(without) == 26
    assert sum(sizes[name].numel() for name in without) == 2_455_044
    assert sum(p.numel() for p in networks.parameters()) == 859_520_964 + 859_549_124
