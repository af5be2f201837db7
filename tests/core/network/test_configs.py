"""Configurations read from shapes: Stable Diffusion 1.5's exactly, others not at all."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL
from torch import nn

from magicface_core.network.configs import infer_config
from magicface_core.network.unet import AU_COUNT, build_unet, to_released_keys

FULL_UNET = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "out_channels": 4,
}
FULL_VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}


def shapes_of(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {k: tuple(v.shape) for k, v in to_released_keys(network.state_dict()).items()}


def built(config: dict[str, Any], channels: int = 8, aus: int | None = AU_COUNT) -> Any:
    with torch.device("meta"):
        return build_unet({**config, "in_channels": channels}, aus)


@pytest.mark.parametrize(("channels", "aus"), [(8, AU_COUNT), (4, None)])
def test_unets_of_full_size(channels: int, aus: int | None) -> None:
    expected = built(FULL_UNET, channels, aus)
    found = infer_config(shapes_of(expected))
    assert found is not None
    rebuilt = built(found, found["in_channels"], aus)
    assert shapes_of(rebuilt) == shapes_of(expected)
    for name in set(expected.config) - {"_use_default_values", "_class_name"}:
        value, wanted = rebuilt.config[name], expected.config[name]
        assert (list(value) if isinstance(wanted, tuple) else value) == (
            list(wanted) if isinstance(wanted, tuple) else wanted
        ), name


def test_parameters_of_the_released_networks() -> None:
    """As counted in the released files."""
    counts = [sum(p.numel() for p in built(FULL_UNET, *k).parameters()) for k in ((8,), (4, None))]
    assert counts == [859_549_124, 859_520_964]


def test_autoencoder_of_full_size() -> None:
    with torch.device("meta"):
        expected = AutoencoderKL(**FULL_VAE)
    found = infer_config(shapes_of(expected))
    assert found is not None
    assert found["scaling_factor"] == 0.18215
    with torch.device("meta"):
        rebuilt = AutoencoderKL.from_config(found)
    assert shapes_of(rebuilt) == shapes_of(expected)


@pytest.mark.parametrize(
    "other",
    [
        {"use_linear_projection": True, "attention_head_dim": (5, 10, 20, 20)},  # version 2
        {"layers_per_block": 1},
        {"block_out_channels": (16, 32, 32, 32), "norm_num_groups": 16},
        {
            "block_out_channels": (32, 64, 64),
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        },
    ],
)
def test_other_unets_are_not_guessed(other: dict[str, Any]) -> None:
    narrow = {**FULL_UNET, "block_out_channels": (160, 320, 320, 320), **other}
    assert infer_config(shapes_of(built(narrow))) is None


@pytest.mark.parametrize("shapes", [{}, {"x": (1,)}, {"encoder.conv_in.weight": (1,)}])
def test_no_network_at_all(shapes: dict[str, tuple[int, ...]]) -> None:
    assert infer_config(shapes) is None


def test_shapes_of_too_few_dimensions() -> None:
    shapes = {key: shape[:1] for key, shape in shapes_of(built(FULL_UNET)).items()}
    assert infer_config(shapes) is None
