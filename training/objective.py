"""The training objective (paper, Eq. 3).

The denoiser predicts the noise of the target given identity, background and AU delta.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional as F

from magicface_core.network.autoencoder import Autoencoder, encode_mode

from .config import ObjectiveConfig
from .data.edit_sets import Batch
from .initialise import Networks


@dataclass(frozen=True)
class Draw:
    """The random part of one step, made beforehand so that a step can be repeated."""

    noise: Tensor  # [B,C,h,w]
    timestep: Tensor  # [B]
    delta: Tensor  # [B,12] after dropout and the noise on all-zero deltas

    def to(self, device: torch.device) -> Draw:
        """The draw on a device."""
        return Draw(self.noise.to(device), self.timestep.to(device), self.delta.to(device))


def draw(
    batch: Batch,
    latent_shape: torch.Size,
    config: ObjectiveConfig,
    timesteps: int,
    generator: torch.Generator,
) -> Draw:
    """Noise, timesteps and the deltas as the networks see them.

    All-zero deltas get N(0, sigma^2) noise so that "no change" differs from the null AU; then a
    share of all deltas is replaced by the null AU, exact zeros (sections III-B and III-D).
    """
    rows = len(batch.delta)
    noise = torch.randn(rows, *latent_shape[1:], generator=generator)
    uniform = torch.rand(rows, generator=generator)
    timestep = (uniform.pow(config.timestep_power) * timesteps).long().clamp_max(timesteps - 1)
    jitter = config.zero_sigma * torch.randn(batch.delta.shape, generator=generator)
    unchanged = (batch.delta == 0).all(dim=1, keepdim=True)
    delta = torch.where(unchanged, jitter, batch.delta)
    dropped = torch.rand(rows, 1, generator=generator) < config.au_dropout
    return Draw(noise, timestep, delta.masked_fill(dropped, 0.0))


@dataclass(frozen=True)
class Latents:
    """Encoded pictures of a batch, in the released conventions."""

    target: Tensor  # [B,C,h,w], times the scaling factor
    identity: Tensor  # [R,C,h,w], NOT scaled
    condition: Tensor  # [B,C,h,w], NOT scaled; for a convolutional controller the picture, -1..1


@torch.no_grad()
def encode(batch: Batch, vae: Autoencoder, networks: Networks) -> Latents:
    """Posterior modes; only the target is multiplied by the scaling factor."""
    condition = (
        encode_mode(vae, batch.condition)
        if networks.controller is None
        else batch.condition * 2 - 1
    )
    target = encode_mode(vae, batch.target) * vae.config.scaling_factor
    return Latents(target, encode_mode(vae, batch.identity), condition)


def loss_weight(
    batch: Batch, size: torch.Size | tuple[int, int], config: ObjectiveConfig
) -> Tensor:
    """Weights [B,1,h,w] with mean 1.

    Full inside the face mask, more where an exact edit changes the picture.
    """
    mask = F.adaptive_avg_pool2d(batch.mask, size)
    weight = config.outside_weight + (1 - config.outside_weight) * mask
    if config.change_weight:
        identity = batch.identity.repeat(len(batch.target) // len(batch.identity), 1, 1, 1)
        change = (batch.target - identity).abs().mean(1, keepdim=True)
        change = change * batch.same_scene[:, None, None, None].to(change)
        weight = weight + config.change_weight * F.adaptive_avg_pool2d(change, size)
    return weight / weight.mean()


def regression_target(scheduler: DDPMScheduler, latents: Tensor, drawn: Draw) -> Tensor:
    """What the denoiser is asked for: noise (paper), clean latents, or velocity."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return drawn.noise
    if kind == "sample":
        return latents
    velocity: Tensor = scheduler.get_velocity(latents, drawn.noise, drawn.timestep)
    return velocity


def edit_loss(
    networks: Networks,
    latents: Latents,
    weight: Tensor,
    drawn: Draw,
    prompt_embeds: Tensor,
    scheduler: DDPMScheduler,
    config: ObjectiveConfig,
) -> Tensor:
    """Weighted mean over the batch of the squared (or pseudo-Huber) error."""
    noisy = scheduler.add_noise(latents.target, drawn.noise, drawn.timestep)
    prediction = networks(
        noisy, latents.condition, latents.identity, drawn.delta, drawn.timestep, prompt_embeds
    )
    error = (prediction - regression_target(scheduler, latents.target, drawn)).float().square()
    if config.loss == "huber":
        error = config.huber_width * ((error + config.huber_width**2).sqrt() - config.huber_width)
    return (error * weight).mean()
