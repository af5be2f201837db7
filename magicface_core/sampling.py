"""Denoising with AU guidance (paper, Eq. 4).

    eps = eps(null AU) + alpha * (eps(AU) - eps(null AU)),    null AU = all zeros

alpha = 1 needs no null pass and gets none. The guidance formula is the same for every prediction type, since all
of them are affine in the noise at a fixed timestep.

Deviations from the released code: ``final_sigmas_type`` is passed explicitly, because the default of UniPC changed
in diffusers after the release ("sigma_min" then, "zero" now; 0.1 % of the last step); the identity image is
encoded once for both guidance halves.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from torch import Tensor

from .errors import MagicFaceError
from .network.autoencoder import decode_latents, encode_mode
from .network.checkpoint import Checkpoint
from .network.reference_attention import Reference, identity_features, project_reference

SCHEDULERS: dict[str, tuple[type, dict[str, Any]]] = {
    "unipc": (UniPCMultistepScheduler, {"final_sigmas_type": "sigma_min"}),
    "ddim": (DDIMScheduler, {"timestep_spacing": "trailing"}),
    "dpmpp_2m": (DPMSolverMultistepScheduler, {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": (
        DPMSolverMultistepScheduler,
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "euler": (EulerDiscreteScheduler, {}),
    "euler_ancestral": (EulerAncestralDiscreteScheduler, {}),
    "heun": (HeunDiscreteScheduler, {}),
}
# Settings of the noise schedule that every scheduler understands; a scheduler's own settings must not leak from
# the PNDM configuration that Stable Diffusion 1.5 ships.
SHARED_SETTINGS = (
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "num_train_timesteps",
    "prediction_type",
    "steps_offset",
    "rescale_betas_zero_snr",
    "set_alpha_to_one",
    "clip_sample",
)


@dataclass(frozen=True)
class Progress:
    """State after one denoising step."""

    step: int  # from 0
    steps: int
    timestep: float
    latents: Tensor  # [B,C,h,w] after the step
    clean: Tensor  # [B,C,h,w], the clean latents predicted in this step; decode for a preview


Callback = Callable[[Progress], None]


@dataclass(frozen=True)
class Identity:
    """An identity image as the denoiser sees it: computed once, shared by all steps, halves and edits."""

    reference: Reference
    latents: Tensor  # [R,C,h,w], posterior mode without the scaling factor


def encode_identity(checkpoint: Checkpoint, image: Tensor) -> Identity:
    """Reference keys and values of identity images [R,3,H,W] in 0..1."""
    with torch.no_grad():
        latents = encode_mode(checkpoint.vae, image).to(checkpoint.dtype)
        return Identity(reference_of(checkpoint, latents), latents)


def reference_of(checkpoint: Checkpoint, latents: Tensor) -> Reference:
    """Reference keys and values of identity latents [R,C,h,w] (posterior mode, not scaled)."""
    with torch.no_grad():
        features = identity_features(checkpoint.id_encoder, latents, checkpoint.prompt_embeds)
        return project_reference(checkpoint.denoiser, features)


def encode_background(checkpoint: Checkpoint, picture: Tensor) -> Tensor:
    """The Attribute Controller's condition [B,C,h,w] of background + pose pictures [B,3,H,W] in 0..1."""
    with torch.no_grad():
        if checkpoint.controller is None:
            return encode_mode(checkpoint.vae, picture).to(checkpoint.dtype)
        condition: Tensor = checkpoint.controller(picture.to(checkpoint.device, checkpoint.dtype) * 2 - 1)
        return condition


def decode(checkpoint: Checkpoint, latents: Tensor) -> Tensor:
    """Pictures [B,3,H,W] in 0..1 of sampled latents."""
    with torch.no_grad():
        return decode_latents(checkpoint.vae, latents)


def reconstruct(checkpoint: Checkpoint, image: Tensor) -> Tensor:
    """Round trip of pictures [B,3,H,W] in 0..1 through the autoencoder: the best any edit can look."""
    with torch.no_grad():
        latents = encode_mode(checkpoint.vae, image) * checkpoint.vae.config.scaling_factor
        return decode_latents(checkpoint.vae, latents)


def make_scheduler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """A scheduler by name with the checkpoint's noise schedule."""
    if name not in SCHEDULERS:
        raise MagicFaceError(f"unknown scheduler {name!r}; choose one of {', '.join(SCHEDULERS)}")
    kind, own = SCHEDULERS[name]
    accepted = inspect.signature(kind.__init__).parameters
    shared = {k: config[k] for k in SHARED_SETTINGS if k in config and k in accepted}
    return kind(**shared, **own)


def sample(
    checkpoint: Checkpoint,
    identity: Identity,
    background_latents: Tensor,
    deltas: Tensor,
    *,
    steps: int | None = None,
    guidance: float | None = None,
    scheduler: str | None = None,
    noise: Tensor | None = None,
    generator: torch.Generator | None = None,
    callback: Callback | None = None,
) -> Tensor:
    """Edited latents [B,C,h,w] in the sampler's (scaled) space.

    Args:
        checkpoint: the networks.
        identity: of one image for all rows, or of R images with B a multiple of R (row b: identity b mod R).
        background_latents: [1 or B, C, h, w] from ``encode_background``.
        deltas: [B, 12] AU deltas, target - source, -10..10.
        steps, guidance, scheduler: the checkpoint's own values by default. Guidance is alpha >= 0 of Eq. 4.
        noise: [1 or B, C, h, w] initial noise of unit variance; else drawn from ``generator`` on the CPU.
        callback: called after each step.

    Raises:
        MagicFaceError: a value out of range.
    """
    info = checkpoint.info
    steps = info.steps if steps is None else steps
    guidance = info.guidance if guidance is None else guidance
    _check(steps, guidance, deltas)
    solver = make_scheduler(scheduler or info.scheduler, checkpoint.scheduler_config)
    solver.set_timesteps(steps, device=checkpoint.device)
    deltas = deltas.to(checkpoint.device, checkpoint.dtype)
    batch = len(deltas)
    background = background_latents.to(deltas).expand(batch, -1, -1, -1)
    if noise is None:
        noise = torch.randn(background.shape[0], checkpoint.latent_channels, *background.shape[2:], generator=generator)
    latents = noise.to(deltas).expand(batch, -1, -1, -1) * solver.init_noise_sigma
    with torch.no_grad():
        for index, timestep in enumerate(solver.timesteps):
            scaled = solver.scale_model_input(latents, timestep)
            output = guided_prediction(checkpoint, identity, scaled, background, deltas, timestep, guidance)
            before = latents
            latents = solver.step(output, timestep, latents, return_dict=True).prev_sample
            if callback is not None:
                clean = predicted_clean(solver, output, before, timestep)
                callback(Progress(index, len(solver.timesteps), float(timestep), latents, clean))
    return latents


def guided_prediction(
    checkpoint: Checkpoint,
    identity: Identity,
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
    identity: Identity,
    latents: Tensor,
    background: Tensor,
    deltas: Tensor,
    timestep: Tensor | int,
) -> Tensor:
    """One pass of the denoising UNet: prediction [B,C,h,w] for latents [B,C,h,w] and deltas [B,12]."""
    prediction: Tensor = checkpoint.denoiser(
        torch.cat([latents, background], dim=1),
        timestep,
        encoder_hidden_states=checkpoint.prompt_embeds.expand(len(latents), -1, -1),
        class_labels=deltas,
        cross_attention_kwargs={"reference": identity.reference},
    ).sample
    return prediction


def predicted_clean(
    solver: SchedulerMixin, output: Tensor, latents: Tensor, timestep: Tensor
) -> Tensor:
    """Clean latents that the prediction ``output`` at noisy ``latents`` stands for."""
    kind = solver.config.prediction_type
    if kind == "sample":
        return output
    alpha_bar = solver.alphas_cumprod[int(timestep)].to(latents)
    signal, sigma = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if float(solver.init_noise_sigma) > 1.5:  # sigma-space solvers keep latents divided by the signal's share
        latents = latents * signal
    if kind == "v_prediction":
        return signal * latents - sigma * output
    return (latents - sigma * output) / signal


def _check(steps: int, guidance: float, deltas: Tensor) -> None:
    if steps < 1:
        raise MagicFaceError(f"steps is {steps}; at least 1 is needed, the released checkpoint uses 50")
    if not guidance >= 0:
        raise MagicFaceError(f"guidance is {guidance}; it must be 0 or more (3.0 in the paper)")
    if deltas.ndim != 2 or deltas.shape[1] != 12:
        raise MagicFaceError(f"deltas has shape {list(deltas.shape)}; expected [batch, 12]")
    if not torch.isfinite(deltas).all():
        raise MagicFaceError("deltas holds NaN or infinity")
