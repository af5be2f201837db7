"""Denoising with AU guidance (paper, Eq. 4).

    eps = eps(null AU) + alpha * (eps(AU) - eps(null AU)),    null AU = all zeros

alpha = 1 needs no null pass and gets none. The guidance formula is the same for every prediction
type, since all of them are affine in the noise at a fixed timestep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import MagicFaceError
from ..network.autoencoder import decode_latents
from ..network.checkpoint import Checkpoint
from ..network.denoiser_inputs import add_identity
from ..network.unet import AU_COUNT
from .identity import EncodedIdentity, ProjectedIdentity, encode_picture, project_identity
from .schedulers import Generators, make_scheduler, predicted_clean, step_options

if TYPE_CHECKING:
    from diffusers import SchedulerMixin


@dataclass(frozen=True)
class Progress:
    """State after one denoising step."""

    step: int  # from 0
    steps: int
    timestep: float
    latents: Tensor  # [B,C,h,w] after the step
    clean: Tensor  # [B,C,h,w], the clean latents predicted in this step; decode for a preview


Callback = Callable[[Progress], None]
NO_CHANGE_SIGMA = 0.2


def no_change_delta(seed: int = 0) -> Tensor:
    """The delta [1,12] that asks for the unedited face, N(0, 0.2^2) (paper, section III-B).

    All-zero deltas are trained with that noise; exact zeros are the null AU, which training shows
    with every expression, so they stand for any of them.
    """
    return NO_CHANGE_SIGMA * torch.randn(1, AU_COUNT, generator=torch.Generator().manual_seed(seed))


def encode_background(checkpoint: Checkpoint, picture: Tensor) -> Tensor:
    """The Attribute Controller's condition [B,C,h,w] of background + pose pictures.

    The pictures are [B,3,H,W] in 0..1.
    """
    with torch.no_grad():
        if checkpoint.controller is None:
            return encode_picture(checkpoint, picture)
        condition: Tensor = checkpoint.controller(
            picture.to(checkpoint.device, checkpoint.dtype) * 2 - 1
        )
        return condition


def decode(checkpoint: Checkpoint, latents: Tensor) -> Tensor:
    """Pictures [B,3,H,W] in 0..1 of sampled latents."""
    with torch.no_grad():
        return decode_latents(checkpoint.codec, latents)


def reconstruct(checkpoint: Checkpoint, image: Tensor) -> Tensor:
    """Pictures [B,3,H,W] in 0..1 after the autoencoder's round trip: the best an edit can look."""
    with torch.no_grad():
        codec = checkpoint.codec
        return codec.decode_pictures(codec.encode_pictures(image))


def sample(
    checkpoint: Checkpoint,
    identity: EncodedIdentity | ProjectedIdentity,
    background_latents: Tensor,
    deltas: Tensor,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    noise: Tensor | None = None,
    generator: Generators | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Edited latents [B,C,h,w] in the sampler's (scaled) space, float32 whatever the networks are.

    Args:
        checkpoint: the networks.
        identity: of one image for all rows, or of R images with B a multiple of R (row b: identity
            b mod R); projected here, unless the caller did so for several calls.
        background_latents: [1 or B, C', h, w] from ``encode_background``.
        deltas: [B, 12] AU deltas, target - source, -10..10.
        steps, guidance, scheduler: the checkpoint's own values by default. Guidance is alpha >= 0
            of Eq. 4.
        noise: [1 or B, C, h, w] initial noise of unit variance; else drawn from ``generator`` on
            the CPU.
        generator: also feeds stochastic schedulers; without one, given noise decides the result.
            With given noise it may be B generators, one for each row.
        callback: called after each step.

    Raises:
        MagicFaceError: a value out of range, or shapes that do not fit.
    """
    info = checkpoint.info
    guidance = info.guidance if guidance is None else guidance
    solver = scheduled(checkpoint, steps, scheduler)
    _check(guidance, deltas)
    _check_identities(len(deltas), len(identity.latents))
    shape = (len(deltas), checkpoint.latent_channels, *background_latents.shape[2:])
    if noise is None:
        noise = torch.randn(shape, generator=_only(generator))
    options = step_options(solver, generator)
    deltas = deltas.to(checkpoint.device, torch.float32)
    background = _rows("background_latents", background_latents.to(deltas), len(deltas))
    latents = _rows("noise", noise.to(deltas), *shape) * solver.init_noise_sigma
    who = identity
    if isinstance(who, EncodedIdentity):
        who = project_identity(checkpoint, who)
    for index, timestep in enumerate(solver.timesteps):
        scaled = solver.scale_model_input(latents, timestep)
        with torch.no_grad():
            output = guided_prediction(
                checkpoint, who, scaled, background, deltas, timestep, guidance
            )
        before = latents
        latents = solver.step(output, timestep, latents, **options).prev_sample
        if callback is not None:
            clean = predicted_clean(solver, output, before, timestep)
            callback(Progress(index, len(solver.timesteps), float(timestep), latents, clean))
    return latents


def scheduled(
    checkpoint: Checkpoint, steps: int | None = None, scheduler: str | None = None
) -> SchedulerMixin:
    """A solver with its timesteps set; the checkpoint's own values by default.

    Some solvers evaluate the network more often than `steps`: once for each of ``timesteps``.
    Raises MagicFaceError for an unknown name or a number of steps out of range.
    """
    info = checkpoint.info
    steps = info.steps if steps is None else steps
    solver = make_scheduler(scheduler or info.scheduler, checkpoint.scheduler_config)
    most = int(solver.config.num_train_timesteps)
    if not 1 <= steps <= most:
        raise MagicFaceError(f"steps is {steps}; choose 1..{most}, the released checkpoint uses 50")
    solver.set_timesteps(steps, device=checkpoint.device)
    return solver


def guided_prediction(
    checkpoint: Checkpoint,
    identity: ProjectedIdentity,
    latents: Tensor,
    background: Tensor,
    deltas: Tensor,
    timestep: Tensor | int,
    guidance: float,
) -> Tensor:
    """The denoiser's prediction with AU guidance (Eq. 4); shapes as in ``sample``."""
    if guidance == 1:
        return predict(checkpoint, identity, latents, background, deltas, timestep)
    both = predict(
        checkpoint,
        identity,
        torch.cat([latents, latents]),
        torch.cat([background, background]),
        torch.cat([torch.zeros_like(deltas), deltas]),
        timestep,
    )
    null, edited = both.chunk(2)
    return null + guidance * (edited - null)


def predict(
    checkpoint: Checkpoint,
    identity: ProjectedIdentity,
    latents: Tensor,
    background: Tensor,
    deltas: Tensor,
    timestep: Tensor | int,
) -> Tensor:
    """One pass of the denoising UNet: float32 [B,C,h,w] for latents [B,C,h,w], deltas [B,12]."""
    prediction: Tensor = checkpoint.denoiser(
        torch.cat([latents, background], dim=1).to(checkpoint.dtype),
        timestep,
        encoder_hidden_states=checkpoint.prompt(len(latents)),
        class_labels=deltas.to(checkpoint.dtype),
        cross_attention_kwargs={"reference": identity.reference},
    ).sample
    if checkpoint.info.identity_skip:
        return add_identity(prediction.float(), identity.latents, checkpoint.codec.scaling_factor)
    return prediction.float()


def _rows(name: str, tensor: Tensor, batch: int, *rest: int) -> Tensor:
    """``tensor`` with its first dimension repeated to ``batch``, and the others as in ``rest``."""
    expected = [batch, *(rest or tensor.shape[1:])]
    if tensor.ndim != 4 or list(tensor.shape) not in ([1, *expected[1:]], expected):
        raise MagicFaceError(f"{name} has shape {list(tensor.shape)}; expected {expected}")
    return tensor.expand(batch, -1, -1, -1)


def _check_identities(batch: int, identities: int) -> None:
    if batch % identities:
        raise MagicFaceError(
            f"{batch} deltas cannot be shared evenly by {identities} identity images; "
            f"give a multiple of {identities}"
        )


def _only(generator: Generators | None) -> torch.Generator | None:
    """The generator that draws a whole batch."""
    if generator is None or isinstance(generator, torch.Generator):
        return generator
    raise MagicFaceError("several generators need given noise; pass noise, or one generator")


def _check(guidance: float, deltas: Tensor) -> None:
    if not 0 <= guidance < float("inf"):
        raise MagicFaceError(f"guidance is {guidance}; it must be 0 or more (3.0 in the paper)")
    if deltas.ndim != 2 or deltas.shape[1] != AU_COUNT or len(deltas) == 0:
        raise MagicFaceError(f"deltas has shape {list(deltas.shape)}; expected [batch, {AU_COUNT}]")
    if not torch.isfinite(deltas).all():
        raise MagicFaceError("deltas holds NaN or infinity; give finite AU differences")
