"""Tiny random checkpoints in the real layout, for tests and trials of code paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from .action_unit_inputs import ActionUnitKind
from .attribute_controller import ControllerKind, ConvolutionController
from .autoencoder import PatchAutoencoder
from .checkpoint import STABLE_DIFFUSION_SCHEDULER
from .denoisers import ControlledUNet, build_denoiser, input_channels
from .identity_paths import IDENTITY_PATHS, IdentityKind
from .info import CheckpointInfo
from .saving import save_checkpoint

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

TINY_IMAGE_ENCODER: dict[str, Any] = {
    "hidden_size": 8,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 8,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "width": TINY_UNET["cross_attention_dim"],
}
"""CLIP's image encoder with a projection to the tiny UNet's cross-attention."""


def write_tiny_checkpoint(
    folder: Path,
    *,
    resolution: int = 32,
    identity: IdentityKind = "reference-attention",
    action_units: ActionUnitKind = "linear",
    attribute_controller: ControllerKind = "concatenation",
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    motion: int = 0,
    **info: Any,
) -> Path:
    """Write a complete folder of a few thousand random parameters; returns the folder.

    ``motion`` is the autoencoder's; with ``identity_skip`` the denoiser predicts clean latents.
    """
    torch.manual_seed(seed)
    latent = 4 + 2 * motion**2
    vae = PatchAutoencoder(8, latent, width=8, blocks=1, pixel_width=4, motion=motion)
    controller = ConvolutionController(latent, 8) if attribute_controller == "convolution" else None
    channels = input_channels(identity, action_units, latent=latent, condition=latent)
    shape = {**TINY_UNET, "in_channels": latent, "out_channels": latent}
    encoder = TINY_IMAGE_ENCODER if identity == "image-encoder" else shape
    denoiser = build_denoiser({**shape, **channels}, identity, action_units)
    if isinstance(denoiser, ControlledUNet):
        _fill_zeros(denoiser.controlnet)
    settings = {"steps": 2, "guidance": 1.0, "region": "face", "name": "tiny", **info}
    save_checkpoint(
        folder,
        denoiser=denoiser,
        id_encoder=IDENTITY_PATHS[identity].build_encoder(encoder, ()),
        vae=vae,
        prompt_embeds=torch.randn(1, 3, 4),
        scheduler_config=_scheduler(bool(info.get("identity_skip"))),
        info=CheckpointInfo(
            resolution=resolution,
            identity=identity,
            action_units=action_units,
            attribute_controller=attribute_controller,
            **settings,
        ),
        controller=controller,
        dtype=dtype,
    )
    return folder


def _scheduler(clean: bool) -> dict[str, Any]:
    own = {"prediction_type": "sample", "set_alpha_to_one": True} if clean else {}
    return {**STABLE_DIFFUSION_SCHEDULER, **own}


@torch.no_grad()
def _fill_zeros(controlnet: nn.Module) -> None:
    """A new ControlNet changes nothing, because some of its layers are zero."""
    for parameter in controlnet.parameters():
        if not parameter.any():
            parameter.normal_(std=0.1)
