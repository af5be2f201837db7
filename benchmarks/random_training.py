"""Training on random weights and made-up pairs, for what needs no meaning: time and memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from magicface_training.data.samples import Batch, CachedLatents
from magicface_training.initialise import Start
from magicface_training.networks import Networks

from magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER
from magicface_core.network.info import CheckpointInfo
from magicface_core.network.unet import AU_COUNT, build_unet


@dataclass(frozen=True)
class Size:
    """Networks in Stable Diffusion's layout.

    widths   of the UNets' blocks
    vae      of the autoencoder's
    prompt   tokens and width of the prompt's embedding
    heads    of the attention
    groups   of the normalisation
    picture  pixels along one side
    layers   of each block
    """

    widths: tuple[int, ...]
    vae: tuple[int, ...]
    prompt: tuple[int, int]
    heads: int
    groups: int
    picture: int
    layers: int = 2


FULL = Size((320, 640, 1280, 1280), (128, 256, 512, 512), (77, 768), 8, 32, 512)
# A quarter of the widths and of the side; the autoencoder's share of the work is about the same.
SMALL = Size((80, 160, 320, 320), (32, 64, 128, 128), (77, 192), 4, 16, 128)
SMALLEST = Size((8, 8), (4, 4, 4, 4), (3, 4), 2, 2, 64, layers=1)
SIZES = {"full": FULL, "small": SMALL, "smallest": SMALLEST}


def random_start(size: Size) -> Start:
    """Networks and autoencoder with the weights torch gives them; call under a seed."""
    attending = len(size.widths) - 1  # all blocks but the innermost
    shape: dict[str, Any] = {
        "down_block_types": ("CrossAttnDownBlock2D",) * attending + ("DownBlock2D",),
        "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * attending,
        "layers_per_block": size.layers,
        "out_channels": 4,
        "block_out_channels": size.widths,
        "cross_attention_dim": size.prompt[1],
        "attention_head_dim": size.heads,
        "norm_num_groups": size.groups,
        "sample_size": size.picture // 8,
    }
    networks = Networks(
        build_unet({**shape, "in_channels": 8}, AU_COUNT),
        build_unet({**shape, "in_channels": 4}, None),
        None,
    )
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * len(size.vae),
        up_block_types=("UpDecoderBlock2D",) * len(size.vae),
        block_out_channels=size.vae,
        layers_per_block=size.layers,
        norm_num_groups=min(32, size.vae[0]),
        latent_channels=4,
        scaling_factor=0.18215,
    )
    vae.requires_grad_(False)
    prompt = torch.randn(1, *size.prompt)
    info = CheckpointInfo(resolution=size.picture)
    return Start(networks, vae, prompt, dict(STABLE_DIFFUSION_SCHEDULER), info)


def made_up_batch(size: Size, rows: int, cached: bool, first: int = 0) -> Batch:
    """Pairs of random pictures, or of random latents."""
    side, latent = size.picture, size.picture // 8
    pictures = None if cached else torch.rand(rows, 3, side, side)
    one = torch.randn(rows, 4, latent, latent).half() if cached else None
    return Batch(
        identity=pictures,
        target=pictures,
        condition=pictures,
        mask=torch.ones(rows, 1, side, side),
        delta=torch.randn(rows, AU_COUNT),
        same_scene=torch.zeros(rows, dtype=torch.bool),
        position=torch.arange(first, first + rows),
        latents=None if one is None else CachedLatents(one, one, one.abs(), one),
    )
