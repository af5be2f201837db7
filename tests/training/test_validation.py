"""Validation looks and leaves no trace."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler
from magicface_training.averaging import WeightAverage
from magicface_training.data.edit_sets import EditSets
from magicface_training.initialise import initialise
from magicface_training.validation import clean_latents, validate
from PIL import Image


def test_repeatable_and_without_a_trace(configure, edit_sets: EditSets, tmp_path: Path) -> None:
    config = configure()
    start = initialise(config)
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    average = WeightAverage(start.networks, 0.9)
    with torch.no_grad():
        for shadow in average.shadow.values():
            shadow.mul_(0.5)
    weights = {k: v.clone() for k, v in start.networks.state_dict().items()}
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    results = [validate(start, average, edit_sets, scheduler, config, tmp_path) for _ in range(2)]
    assert results[0] == results[1]
    assert set(results[0]) == {"loss_t100", "loss_t500", "loss_t999", "one_step_ratio"}
    assert all(np.isfinite(value) and value > 0 for value in results[0].values())
    for name, tensor in start.networks.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert all(p.grad is None for p in start.networks.parameters())
    with Image.open(tmp_path / "validation.png") as grid:
        assert grid.size == (8 * 32, 2 * 3 * 32)  # two batches; source, answer, edit


def test_averaged_weights_are_judged(configure, edit_sets: EditSets, tmp_path: Path) -> None:
    config = configure()
    start = initialise(config)
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    same, other = WeightAverage(start.networks, 0.9), WeightAverage(start.networks, 0.9)
    other.shadow["denoiser.conv_out.bias"].add_(1.0)
    first, second = (
        validate(start, a, edit_sets, scheduler, config, tmp_path) for a in (same, other)
    )
    assert first["loss_t500"] != second["loss_t500"]


def test_clean_latents_of_exact_predictions() -> None:
    clean, noise = torch.randn(2, 1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    last = torch.tensor([999])
    for kind in ("epsilon", "sample", "v_prediction"):
        scheduler = DDPMScheduler(prediction_type=kind)
        noisy = scheduler.add_noise(clean, noise, last)
        velocity = scheduler.get_velocity(clean, noise, last)
        exact = {"epsilon": noise, "sample": clean, "v_prediction": velocity}[kind]
        found = clean_latents(scheduler, exact, noisy)
        torch.testing.assert_close(found, clean, rtol=1e-2, atol=1e-3)
