"""Solvers of the denoising process by name, all with the checkpoint's noise schedule.

Deviation from the released code: ``final_sigmas_type`` is passed explicitly, because the default of
UniPC changed in diffusers after the release ("sigma_min" then, "zero" now; 0.1 % of the last step).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from ..errors import MagicFaceError

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

Generators: TypeAlias = torch.Generator | Sequence[torch.Generator]

# Names of diffusers' classes, so that listing the choices does not import diffusers.
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "unipc": ("UniPCMultistepScheduler", {"final_sigmas_type": "sigma_min"}),
    "ddim": ("DDIMScheduler", {"timestep_spacing": "trailing"}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "dpmpp_2m_karras": (
        "DPMSolverMultistepScheduler",
        {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True},
    ),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
}
# Schedulers of diffusers without a formula for predicted clean latents.
NOISE_ONLY = ("euler_ancestral",)
# Settings of the noise schedule that every scheduler understands; a scheduler's own settings must
# not leak from the PNDM configuration that Stable Diffusion 1.5 ships.
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


def make_scheduler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """A scheduler by name with the checkpoint's noise schedule.

    Raises MagicFaceError for an unknown name, and for a scheduler that does not work with
    checkpoints that predict clean latents.
    """
    if name not in SCHEDULERS:
        raise MagicFaceError(f"unknown scheduler {name!r}; choose one of {', '.join(SCHEDULERS)}")
    if name in NOISE_ONLY and config.get("prediction_type") == "sample":
        fitting = ", ".join(n for n in SCHEDULERS if n not in NOISE_ONLY)
        raise MagicFaceError(
            f"scheduler {name!r} needs a checkpoint that predicts noise, this one predicts clean "
            f"latents; choose one of {fitting}"
        )
    import diffusers

    class_name, own = SCHEDULERS[name]
    kind = getattr(diffusers, class_name)
    accepted = inspect.signature(kind).parameters
    shared = {k: config[k] for k in SHARED_SETTINGS if k in config and k in accepted}
    return kind(**shared, **own)


def predicted_clean(
    solver: SchedulerMixin, output: Tensor, latents: Tensor, timestep: Tensor
) -> Tensor:
    """Clean latents that the prediction ``output`` at noisy ``latents`` stands for."""
    kind = solver.config.prediction_type
    if kind == "sample":
        return output
    ratio = noise_ratio(solver, float(timestep))
    signal = (1 + ratio**2) ** -0.5
    if float(solver.init_noise_sigma) > 1.5:  # these solvers keep latents divided by the signal
        latents = latents * signal
    if kind == "v_prediction":
        return signal * latents - ratio * signal * output
    return latents / signal - ratio * output


def noise_ratio(solver: SchedulerMixin, timestep: float) -> float:
    """Noise over signal at a timestep, which may lie between two of the training's."""
    below = min(int(timestep), len(solver.alphas_cumprod) - 2)
    alpha_bar = solver.alphas_cumprod[below : below + 2].double()
    lower, upper = ((1 - alpha_bar) / alpha_bar).sqrt().tolist()
    return float(lower + (timestep - below) * (upper - lower))


def noise_levels(solver: SchedulerMixin) -> Tensor:
    """Noise over signal before each step and after the last, [steps + 1] float32, falling.

    What samplers elsewhere call sigmas. Solvers that visit a level twice have it once here.
    """
    if hasattr(solver, "sigmas"):
        return torch.unique_consecutive(solver.sigmas.float().cpu())
    visited = [noise_ratio(solver, float(timestep)) for timestep in solver.timesteps]
    final = float(solver.final_alpha_cumprod)
    return torch.tensor([*visited, ((1 - final) / final) ** 0.5])


def step_options(solver: SchedulerMixin, generator: Generators | None) -> dict[str, Any]:
    """Stochastic solvers must draw from the caller's generator, never from the global one.

    Several generators are one for each row of the batch.
    """
    if "generator" not in inspect.signature(solver.step).parameters:
        return {}
    if generator is None:
        return {"generator": torch.Generator().manual_seed(0)}
    if isinstance(generator, torch.Generator):
        return {"generator": generator}
    return {"generator": list(generator)}
