"""Solvers by name."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from magicface_core.editing.schedulers import (
    NOISE_ONLY,
    SCHEDULERS,
    make_scheduler,
    noise_levels,
    noise_ratio,
    predicted_clean,
    step_options,
)
from magicface_core.errors import MagicFaceError
from magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER

PREDICTIONS = ("epsilon", "v_prediction", "sample")
WORKING = [
    (name, prediction)
    for name in SCHEDULERS
    for prediction in PREDICTIONS
    if not (name in NOISE_ONLY and prediction == "sample")
]


def config(prediction: str = "epsilon", **more: Any) -> dict[str, Any]:
    return {**STABLE_DIFFUSION_SCHEDULER, "prediction_type": prediction, **more}


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(MagicFaceError, match=r"unknown scheduler 'plms'; choose one of unipc, dd"):
        make_scheduler("plms", config())


def test_the_released_solver() -> None:
    solver = make_scheduler("unipc", config(skip_prk_steps=True, timestep_spacing="leading"))
    assert solver.config.final_sigmas_type == "sigma_min"
    assert solver.config.timestep_spacing == "linspace"
    assert (solver.config.beta_start, solver.config.beta_end) == (0.00085, 0.012)


@pytest.mark.parametrize("name", NOISE_ONLY)
def test_checkpoints_of_clean_latents_refuse_some(name: str) -> None:
    with pytest.raises(MagicFaceError, match="predicts clean latents; choose one of unipc, ddim"):
        make_scheduler(name, config("sample"))


@pytest.mark.parametrize(("name", "prediction"), WORKING)
def test_predicted_clean_latents_are_exact(name: str, prediction: str) -> None:
    """From noisy latents and the exact prediction comes what was noised."""
    solver = make_scheduler(name, config(prediction))
    solver.set_timesteps(5)
    generator = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 1, 4, 8, 8, generator=generator)
    for timestep in solver.timesteps:
        ratio = noise_ratio(solver, float(timestep))
        signal = (1 + ratio**2) ** -0.5
        sigma = signal * ratio
        latents = signal * clean + sigma * noise
        exact = {"epsilon": noise, "sample": clean, "v_prediction": signal * noise - sigma * clean}
        if float(solver.init_noise_sigma) > 1.5:
            latents = latents / signal
        found = predicted_clean(solver, exact[prediction], latents, timestep)
        torch.testing.assert_close(found, clean, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "prediction"), WORKING)
def test_exact_predictions_lead_to_the_clean_latents(name: str, prediction: str) -> None:
    """The solver and ``predicted_clean`` mean the same by noisy latents."""
    solver = make_scheduler(name, config(prediction))
    solver.set_timesteps(8)
    generator = torch.Generator().manual_seed(0)
    clean = torch.randn(1, 4, 8, 8, generator=generator)
    latents = torch.randn(1, 4, 8, 8, generator=generator) * solver.init_noise_sigma
    options = step_options(solver, None)
    for timestep in solver.timesteps:
        solver.scale_model_input(latents, timestep)
        ratio = noise_ratio(solver, float(timestep))
        signal = (1 + ratio**2) ** -0.5
        noisy = latents * signal if float(solver.init_noise_sigma) > 1.5 else latents
        noise = (noisy - signal * clean) / (signal * ratio)
        velocity = signal * noise - signal * ratio * clean
        exact = {"epsilon": noise, "sample": clean, "v_prediction": velocity}[prediction]
        found = predicted_clean(solver, exact, latents, timestep)
        torch.testing.assert_close(found, clean, rtol=1e-3, atol=1e-3)
        latents = solver.step(exact, timestep, latents, **options).prev_sample
    assert float((latents - clean).square().mean().sqrt()) < 0.1


def test_stochastic_steps_never_touch_the_global_generator() -> None:
    solver = make_scheduler("euler_ancestral", config())
    own = torch.Generator().manual_seed(5)
    assert step_options(solver, own) == {"generator": own}
    assert isinstance(step_options(solver, None)["generator"], torch.Generator)
    assert step_options(make_scheduler("unipc", config()), own) == {}


def test_listing_the_choices_does_not_import_diffusers() -> None:
    script = (
        "import sys; from magicface_core.editing.schedulers import SCHEDULERS; "
        "sys.exit('diffusers' in sys.modules or 'unipc' not in SCHEDULERS)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_one_generator_for_each_row() -> None:
    solver = make_scheduler("euler_ancestral", config())
    solver.set_timesteps(4)
    alike = tuple(torch.Generator().manual_seed(7) for _ in range(3))
    latents = torch.ones(3, 4, 8, 8) * solver.init_noise_sigma
    options = step_options(solver, alike)
    timestep = solver.timesteps[0]
    solver.scale_model_input(latents, timestep)
    after = solver.step(torch.ones(3, 4, 8, 8), timestep, latents, **options).prev_sample
    assert torch.equal(after[0], after[1])
    assert torch.equal(after[0], after[2])
    assert float(after[0].std()) > 0


@pytest.mark.parametrize("name", SCHEDULERS)
def test_noise_levels_fall_from_step_to_step(name: str) -> None:
    solver = make_scheduler(name, config())
    solver.set_timesteps(5)
    levels = noise_levels(solver)
    assert levels.shape == (6,)
    assert levels.dtype == torch.float32
    assert (levels.diff() < 0).all()


@pytest.mark.parametrize(("name", "last"), [("unipc", 0.0292), ("ddim", 0.0292), ("euler", 0.0)])
def test_noise_levels_are_those_of_the_timesteps(name: str, last: float) -> None:
    """The released solver ends at the lowest level of the training, not at zero."""
    solver = make_scheduler(name, config())
    solver.set_timesteps(50)
    levels = noise_levels(solver)
    visited = torch.tensor([noise_ratio(solver, float(step)) for step in solver.timesteps])
    torch.testing.assert_close(levels[:-1], visited, rtol=1e-3, atol=1e-4)
    assert levels[-1] == pytest.approx(last, abs=1e-4)
