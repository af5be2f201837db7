"""Tiny random checkpoints in the real layout, for tests and trials of code paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .attribute_controller import ControllerKind, ConvolutionController
from .autoencoder import PatchAutoencoder
from .checkpoint import STABLE_DIFFUSION_SCHEDULER
from .info import CheckpointInfo
from .saving import save_checkpoint
from .unet import AU_COUNT, build_unet

TINY_UNET: dict[str, Any] = {
    "sample_size": 4,
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "cross_attention_dim": 4,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


def write_tiny_checkpoint(
    folder: Path,
    *,
    resolution: int = 32,
    attribute_controller: ControllerKind = "concatenation",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **info: Any,
) -> Path:
    """Write a complete folder of a few thousand random parameters; returns the folder."""
    torch.manual_seed(seed)
    vae = PatchAutoencoder(patch_size=8, latent_channels=4, width=8, blocks=1, pixel_width=4)
    controller = ConvolutionController(4, 8) if attribute_controller == "convolution" else None
    settings = {"steps": 2, "guidance": 1.0, "region": "face", "name": "tiny", **info}
    save_checkpoint(
        folder,
        denoiser=build_unet({**TINY_UNET, "in_channels": 8, "out_channels": 4}, AU_COUNT),
        id_encoder=build_unet({**TINY_UNET, "in_channels": 4, "out_channels": 4}, None),
        vae=vae,
        prompt_embeds=torch.randn(1, 3, 4),
        scheduler_config=STABLE_DIFFUSION_SCHEDULER,
        info=CheckpointInfo(
            resolution=resolution, attribute_controller=attribute_controller, **settings
        ),
        controller=controller,
        dtype=dtype,
    )
    return folder
