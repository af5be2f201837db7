"""Prepared shards with made-up pictures, and their latents."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from magicface_training.data.latent_cache import cache_latents
from pair_shards import write_pair_shards


@pytest.fixture(scope="session")
def pair_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pairs for training in two shards, three for validation, of 64 pixels."""
    folder = tmp_path_factory.mktemp("pairs") / "shards"
    write_pair_shards(folder)
    return folder


@pytest.fixture(scope="session")
def vae() -> AutoencoderKL:
    """Stable Diffusion's kind of autoencoder, tiny: 4 channels, reduction 8, random weights."""
    torch.manual_seed(0)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(4, 4, 4, 4),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        scaling_factor=0.18215,
    ).eval()


@pytest.fixture(scope="session")
def cached(pair_shards: Path, vae: AutoencoderKL, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The latents of ``pair_shards``, flipped ones as well."""
    return cache_latents(pair_shards, vae, out=tmp_path_factory.mktemp("latents"), flip=True)
