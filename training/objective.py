"""The training objective (paper, Eq. 3).

The denoiser predicts the noise of the target given identity, background and AU delta. Everything
random belongs to a row of the batch and comes from that row's position in the run's order (see
``data/order.py``), so results do not depend on how rows are spread over processes.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor
from torch.nn import functional as F

from magicface_core.network.autoencoder import Autoencoder, encode_mode
from magicface_core.network.unet import AU_COUNT

from .au_readers import AUReaders
from .config import ObjectiveConfig
from .data.errors import DataError
from .data.order import generator_seed
from .data.samples import Batch
from .networks import Networks
from .picture_error import Pictures, error_of

USUAL_CHANGE = 0.005  # mean over a picture of an edit's change, 0..1
MOST_BALANCE = 10.0  # times the weight, for the smallest changes


@dataclass(frozen=True)
class Draw:
    """The random part of one step, made beforehand so that a step can be repeated."""

    noise: Tensor  # [B,C,h,w]
    posterior: Tensor  # [B,C,h,w], noise of the target's posterior
    timestep: Tensor  # [B]
    delta: Tensor  # [B,12] after dropout and the noise on all-zero deltas

    def to(self, device: torch.device) -> Draw:
        """The draw on a device."""
        return Draw(*(getattr(self, field.name).to(device) for field in fields(self)))


def draw(
    batch: Batch,
    latent_shape: torch.Size | tuple[int, ...],
    config: ObjectiveConfig,
    timesteps: int,
    seed: int,
) -> Draw:
    """Noise, timesteps and the deltas as the networks see them; on the CPU.

    All-zero deltas get N(0, sigma^2) noise so that "no change" differs from the null AU; then a
    share of all deltas is replaced by the null AU, exact zeros (sections III-B and III-D).
    ``latent_shape`` is [.,C,h,w]; ``seed`` is the run's.
    """
    rows = [_draw_row(s, latent_shape) for s in row_seeds(batch, seed)]
    uniform, jitter, drop, noise, posterior = (
        torch.stack(part) for part in zip(*rows, strict=True)
    )
    timestep = (uniform.pow(config.timestep_power) * timesteps).long().clamp_max(timesteps - 1)
    if config.own_states:
        own = own_rows(len(timestep), len(batch.position), config.own_states)
        timestep[: own.start] = timesteps - 1
    given = batch.delta.cpu()
    unchanged = (given == 0).all(dim=1, keepdim=True)
    delta = torch.where(unchanged, config.zero_sigma * jitter, given)
    dropped = drop[:, None] < config.au_dropout
    return Draw(noise, posterior, timestep, delta.masked_fill(dropped, 0.0))


def row_seeds(batch: Batch, seed: int) -> list[int]:
    """One seed for each target row: row b is target b // R of the identity at position b mod R."""
    count = len(batch.position)
    repeats = len(batch.delta) // count
    return [
        generator_seed(seed, int(position), f"objective {repeat}")
        for repeat in range(repeats)
        for position in batch.position
    ]


def _draw_row(seed: int, latent_shape: torch.Size | tuple[int, ...]) -> tuple[Tensor, ...]:
    """Uniform for the timestep, jitter [12], uniform for the dropout, two noises [C,h,w]."""
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(latent_shape[1:])
    return (
        torch.rand((), generator=generator),
        torch.randn(AU_COUNT, generator=generator),
        torch.rand((), generator=generator),
        torch.randn(shape, generator=generator),
        torch.randn(shape, generator=generator),
    )


@dataclass(frozen=True)
class Latents:
    """Encoded pictures of a batch, in the released conventions."""

    target_mean: Tensor  # [B,C,h,w] of the posterior, times the scaling factor
    target_std: Tensor  # likewise
    identity: Tensor  # [R,C,h,w], NOT scaled; for an image encoder the picture, -1..1
    condition: Tensor  # [B,C,h,w], NOT scaled; for a convolutional controller the picture, -1..1

    def target(self, drawn: Draw, config: ObjectiveConfig) -> Tensor:
        """The clean latents [B,C,h,w] of this step."""
        if config.target_latents == "mode":
            return self.target_mean
        return self.target_mean + self.target_std * drawn.posterior


@torch.no_grad()
def encode(batch: Batch, vae: Autoencoder, networks: Networks) -> Latents:
    """Posteriors of the targets, modes of the rest; only the target has the scaling factor."""
    scale = float(vae.config.scaling_factor)
    if batch.latents is not None:
        cached = batch.latents
        mean, std = cached.target_mean.float(), cached.target_std.float()
        identity, condition = cached.identity.float(), cached.condition.float()
    else:
        place = next(vae.parameters())
        posterior = vae.encode(picture(batch.target).to(place) * 2 - 1).latent_dist
        mean, std = posterior.mean.float(), posterior.std.float()
        identity = encode_mode(vae, picture(batch.identity)).float()
    if networks.reads_pictures:
        identity = picture(batch.identity) * 2 - 1
    if networks.controller is not None:
        condition = picture(batch.condition) * 2 - 1
    elif batch.latents is None:
        condition = encode_mode(vae, picture(batch.condition)).float()
    return Latents(mean * scale, std * scale, identity, condition)


def picture(pictures: Tensor | None) -> Tensor:
    """Pictures that a setting needs and a batch of cached latents alone lacks."""
    if pictures is None:
        raise DataError(
            "these settings need pictures, but only cached latents were read: set data.cache to ''"
        )
    return pictures


def needs_pictures(config: ObjectiveConfig, networks: Networks) -> bool:
    """Whether cached latents alone do not do."""
    own = networks.controller is not None or networks.reads_pictures
    return config.change_weight > 0 or config.error == "picture" or own


def loss_weight(
    batch: Batch, size: torch.Size | tuple[int, int], config: ObjectiveConfig
) -> Tensor:
    """Weights [B,1,h,w], not normalised: a step divides by their mean over all its rows.

    1 inside the face mask, more where an exact edit changes the picture.
    """
    mask = F.adaptive_avg_pool2d(batch.mask, size)
    weight = config.outside_weight + (1 - config.outside_weight) * mask
    if config.change_weight:
        target, identity = picture(batch.target), picture(batch.identity)
        identity = identity.repeat(len(target) // len(identity), 1, 1, 1)
        change = (target - identity).abs().mean(1, keepdim=True)
        change = _balanced(change, config.change_balance)
        change = change * batch.same_scene[:, None, None, None].to(change)
        weight = weight + config.change_weight * F.adaptive_avg_pool2d(change, size)
    return weight


def _balanced(change: Tensor, balance: float) -> Tensor:
    """Change [B,1,H,W] scaled so that rows of small changes count more, see ``change_balance``."""
    mean = change.mean((1, 2, 3), keepdim=True)
    return change * (USUAL_CHANGE / mean.clamp_min(USUAL_CHANGE / MOST_BALANCE)).pow(balance)


def compared(
    batch: Batch,
    latents: Latents,
    vae: Autoencoder,
    config: ObjectiveConfig,
    readers: AUReaders | None = None,
) -> tuple[Pictures | None, Tensor]:
    """The pictures that ``config.error`` compares, if any, and the weights at their size."""
    pictures = Pictures.of(batch, vae, readers) if config.error == "picture" else None
    seen = latents.target_mean if pictures is None else pictures.target
    return pictures, loss_weight(batch, seen.shape[-2:], config)


def regression_target(scheduler: DDPMScheduler, latents: Tensor, drawn: Draw) -> Tensor:
    """What the denoiser is asked for: noise (paper), clean latents, or velocity."""
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        return drawn.noise
    if kind == "sample":
        return latents
    velocity: Tensor = scheduler.get_velocity(latents, drawn.noise, drawn.timestep)
    return velocity


def timestep_weight(scheduler: DDPMScheduler, timestep: Tensor, gamma: float) -> Tensor:
    """Min-SNR weights [B,1,1,1] (Hang et al. 2023), for what the scheduler's network predicts."""
    ratio = compute_snr(scheduler, timestep)
    clipped = ratio.clamp_max(gamma)
    kind = scheduler.config.prediction_type
    if kind == "epsilon":
        clipped = clipped / ratio
    elif kind == "v_prediction":
        clipped = clipped / (ratio + 1)
    return clipped[:, None, None, None]


def edit_loss(
    networks: Networks,
    latents: Latents,
    weight: Tensor,
    drawn: Draw,
    prompt_embeds: Tensor,
    scheduler: DDPMScheduler,
    config: ObjectiveConfig,
    pictures: Pictures | None = None,
) -> Tensor:
    """Weighted mean over the batch of the squared (or pseudo-Huber) error.

    The networks' inputs are in the type of ``prompt_embeds``, the error is in float32. ``pictures``
    are those to compare with where ``config.error`` asks for it; the weight has their size then.
    """
    clean = latents.target(drawn, config)
    known = _Known(networks, latents, drawn.delta, prompt_embeds)
    noisy = _states(known, clean, drawn, scheduler, config)
    prediction = known.predict(noisy, drawn.timestep)
    if config.min_snr:
        weight = weight * timestep_weight(scheduler, drawn.timestep, config.min_snr)
    if pictures is not None:
        predicted = clean_latents(scheduler, prediction, noisy, drawn.timestep)
        return pictures.loss(predicted, latents.identity, weight, config)
    error = error_of(prediction - regression_target(scheduler, clean, drawn), config)
    return (error * weight).mean()


@dataclass(frozen=True)
class _Known:
    """The networks with all they are told but the noisy latents and how noisy these are."""

    networks: Networks
    latents: Latents
    delta: Tensor
    prompt: Tensor

    def predict(self, noisy: Tensor, timestep: Tensor, rows: slice = slice(None)) -> Tensor:
        """Float32 prediction of some rows, whose first belongs to the first identity."""
        inputs = (noisy, self.latents.condition[rows], self.latents.identity, self.delta[rows])
        noisy, condition, identity, delta = (each.to(self.prompt.dtype) for each in inputs)
        return self.networks(noisy, condition, identity, delta, timestep, self.prompt).float()


def _states(
    known: _Known,
    clean: Tensor,
    drawn: Draw,
    scheduler: DDPMScheduler,
    config: ObjectiveConfig,
) -> Tensor:
    """Noisy latents [B,C,h,w] to predict from, see ``ObjectiveConfig.own_states``."""
    if not config.own_states:
        return scheduler.add_noise(clean, drawn.noise, drawn.timestep)
    noisy = drawn.noise.clone()
    rows = own_rows(len(noisy), len(known.latents.identity), config.own_states)
    if rows.start == len(noisy):
        return noisy
    noise = drawn.noise[rows]
    with torch.no_grad():
        last = torch.full_like(drawn.timestep[rows], len(scheduler.alphas_cumprod) - 1)
        prediction = known.predict(noise, last, rows)
        own = clean_latents(scheduler, prediction, noise, last)
    noisy[rows] = scheduler.add_noise(own, noise, drawn.timestep[rows])
    return noisy


def own_rows(rows: int, identities: int, share: float) -> slice:
    """The last rows of a batch: ``share`` of each identity's targets, rounded."""
    targets = rows // identities
    return slice(rows - identities * round(share * targets), rows)


def clean_latents(
    scheduler: DDPMScheduler, output: Tensor, noisy: Tensor, timestep: Tensor
) -> Tensor:
    """Clean latents [B,C,h,w] that the denoiser's output at timesteps [B] stands for."""
    alpha = scheduler.alphas_cumprod.to(noisy)[timestep][:, None, None, None]
    kind = scheduler.config.prediction_type
    if kind == "sample":
        return output
    if kind == "epsilon":
        return (noisy - (1 - alpha).sqrt() * output) / alpha.sqrt()
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * output
