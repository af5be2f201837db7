"""Going on with a checkpoint on latents that have further channels."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from magicface_core.network.autoencoder import Autoencoder, PatchAutoencoder
from magicface_core.network.checkpoint import Checkpoint
from magicface_core.network.denoisers import build_denoiser
from magicface_core.network.identity_paths import IDENTITY_PATHS, IdentityEncoder

from .settings import ConfigError


def check_continues(vae: Autoencoder, known: Autoencoder, folder: str) -> None:
    """Raise ConfigError unless the first channels of ``vae`` are those that a checkpoint knows."""
    if isinstance(vae, PatchAutoencoder) and isinstance(known, PatchAutoencoder):
        own, old = vae.to_latents.weight, known.to_latents.weight.to(vae.to_latents.weight)
        if own.shape == old.shape and torch.allclose(own, old, atol=1e-3):
            return
    raise ConfigError(
        f"model.wider_autoencoder {folder} has other latents than the checkpoint's: leave it "
        "empty, or make it from the checkpoint's vae with python -m magicface_training.autoencoder "
        "--start"
    )


def on_wider_latents(
    checkpoint: Checkpoint, channels: int
) -> tuple[UNet2DConditionModel, IdentityEncoder]:
    """Denoiser and ID encoder for latents of more channels, which start unread and at zero.

    Raises ConfigError for other kinds of checkpoints than the paper's.
    """
    info, denoiser, encoder = checkpoint.info, checkpoint.denoiser, checkpoint.id_encoder
    if info.identity != "reference-attention" or checkpoint.controller is not None:
        raise ConfigError(
            "model.wider_autoencoder continues checkpoints with reference attention and "
            "concatenated conditions only: leave it empty"
        )
    old = checkpoint.latent_channels
    shape = dict(encoder.config, in_channels=channels, out_channels=channels)
    wide_encoder = IDENTITY_PATHS[info.identity].build_encoder(shape, info.locality)
    inputs = int(denoiser.config.in_channels) // old * channels
    shape = dict(denoiser.config, in_channels=inputs, out_channels=channels)
    wide_denoiser = build_denoiser(shape, info.identity, info.action_units, info.locality)
    _copy(denoiser, wide_denoiser, old, channels)
    _copy(encoder, wide_encoder, old, channels)
    return wide_denoiser, wide_encoder


@torch.no_grad()
def _copy(network: nn.Module, wide: nn.Module, old: int, new: int) -> None:
    """All weights; ``conv_in`` reads one or more latents of ``old`` channels, one after another."""
    weights = network.state_dict()
    for name, parameter in wide.state_dict().items():
        weight = weights[name].to(parameter)
        if name == "conv_in.weight":
            weight = _spread(weight, old, new)
        elif name in ("conv_out.weight", "conv_out.bias"):
            weight = _spread(weight[None], old, new)[0]
        parameter.copy_(weight)


def _spread(weight: Tensor, old: int, new: int) -> Tensor:
    """Weights of groups of ``old`` channels [O,g*old,...] as [O,g*new,...], zeros behind each."""
    groups = weight.unflatten(1, (-1, old))
    padding = groups.new_zeros(*groups.shape[:2], new - old, *groups.shape[3:])
    return torch.cat([groups, padding], dim=2).flatten(1, 2)
