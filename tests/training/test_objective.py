"""The objective: what is drawn, what is scaled, what is weighted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from magicface_training.config import DataConfig, ObjectiveConfig
from magicface_training.data.edit_sets import Batch, EditSets
from magicface_training.initialise import Networks, initialise
from magicface_training.objective import (
    Draw,
    draw,
    edit_loss,
    encode,
    loss_weight,
    regression_target,
)
from torch import Tensor

from magicface_core.network.autoencoder import PatchAutoencoder, encode_mode
from magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER

ROWS = 4000


def rows(delta: Tensor) -> Batch:
    empty = torch.zeros(len(delta), 3, 8, 8)
    mask = torch.zeros(len(delta), 1, 8, 8)
    return Batch(empty, empty, empty, mask, delta, torch.ones(len(delta), dtype=torch.bool))


def drawn(delta: Tensor, seed: int = 0, **settings: float) -> Draw:
    config = replace(ObjectiveConfig(), **settings)  # type: ignore[arg-type]
    shape = torch.Size([len(delta), 4, 2, 2])
    return draw(rows(delta), shape, config, 1000, torch.Generator().manual_seed(seed))


# --- what the networks see ----------------------------------------------------------------------


def test_delta_is_target_minus_identity(edit_sets: EditSets) -> None:
    """AU1 numbers the expressions: a stronger target has a positive delta."""
    config = DataConfig(identities_per_step=4, other_scene=0.0, zero_delta=0.0)
    for step in range(20):
        batch = edit_sets.batch(np.random.default_rng(step), config)
        brightness = [p[:, :, 12:20, 12:20].mean((1, 2, 3)) for p in (batch.identity, batch.target)]
        change = (brightness[1] - brightness[0]) * 255 / 25
        assert torch.allclose(batch.delta[:, 0], change, atol=1e-3)
        assert batch.delta[:, 0].any()
        assert not batch.delta[:, 1:].any()


def test_ten_percent_become_the_null_au() -> None:
    delta = drawn(torch.ones(ROWS, 12)).delta
    null = (delta == 0).all(1)
    assert float(null.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert torch.equal(delta[~null], torch.ones_like(delta[~null]))


@pytest.mark.parametrize(("dropout", "expected"), [(0.0, 0), (1.0, ROWS)])
def test_dropout_rate_is_a_setting(dropout: float, expected: int) -> None:
    delta = drawn(torch.ones(ROWS, 12), au_dropout=dropout).delta
    assert int((delta == 0).all(1).sum()) == expected


def test_only_zero_deltas_get_noise() -> None:
    given = torch.zeros(ROWS, 12)
    given[::2, 3] = 2.0
    delta = drawn(given, au_dropout=0.0).delta
    assert torch.equal(delta[::2], given[::2])
    noise = delta[1::2]
    assert (noise != 0).all()
    assert float(noise.std()) == pytest.approx(0.2, abs=0.005)
    assert float(noise.mean()) == pytest.approx(0.0, abs=0.005)
    assert torch.equal(drawn(given, au_dropout=0.0, zero_sigma=0.0).delta, given)


def test_dropped_zero_deltas_are_exactly_zero() -> None:
    delta = drawn(torch.zeros(ROWS, 12), au_dropout=0.5).delta
    null = (delta == 0).all(1)
    assert float(null.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert not (delta[~null] == 0).any()


@pytest.mark.parametrize(("power", "mean"), [(1.0, 0.5), (0.5, 2 / 3)])
def test_timesteps(power: float, mean: float) -> None:
    timestep = drawn(torch.ones(ROWS, 12), timestep_power=power).timestep
    assert float(timestep.double().mean()) / 1000 == pytest.approx(mean, abs=0.02)
    assert 0 <= int(timestep.min()) <= int(timestep.max()) == 999


def test_draws_depend_on_the_generator_alone() -> None:
    given = torch.zeros(6, 12)
    first, again, other = (drawn(given, seed) for seed in (1, 1, 2))
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.delta, again.delta)
    assert not torch.equal(first.noise, other.noise)


def test_only_the_target_is_scaled(edit_sets: EditSets, configure) -> None:
    start = initialise(configure())
    vae = PatchAutoencoder(latent_channels=4, width=4, blocks=1, scaling_factor=0.18215)
    batch = edit_sets.batch(np.random.default_rng(0), DataConfig())
    latents = encode(batch, vae, start.networks)
    assert torch.equal(latents.target, encode_mode(vae, batch.target) * 0.18215)
    assert torch.equal(latents.identity, encode_mode(vae, batch.identity))
    assert torch.equal(latents.condition, encode_mode(vae, batch.condition))


def test_convolutional_controller_gets_the_picture(edit_sets: EditSets, configure) -> None:
    start = initialise(configure("model.attribute_controller=convolution"))
    batch = edit_sets.batch(np.random.default_rng(0), DataConfig())
    latents = encode(batch, start.vae, start.networks)
    assert torch.equal(latents.condition, batch.condition * 2 - 1)


# --- loss ---------------------------------------------------------------------------------------


def test_loss_weights(edit_sets: EditSets) -> None:
    settings = DataConfig(identities_per_step=3, other_scene=0.0, zero_delta=0.0)
    batch = edit_sets.batch(np.random.default_rng(0), settings)
    even = loss_weight(batch, (4, 4), ObjectiveConfig())
    assert torch.equal(even, torch.ones(3, 1, 4, 4))
    masked = loss_weight(batch, (4, 4), ObjectiveConfig(outside_weight=0.25))
    assert float(masked.mean()) == pytest.approx(1.0)
    ratio = masked[:, :, 0, 0] / masked[:, :, 1, 1]
    assert torch.allclose(ratio, torch.full_like(ratio, 0.25))
    changing = loss_weight(batch, (4, 4), ObjectiveConfig(change_weight=5.0))
    assert float(changing.mean()) == pytest.approx(1.0)
    assert torch.all(changing[:, :, 1, 1] > changing[:, :, 0, 0])


def test_change_weight_counts_exact_edits_alone(edit_sets: EditSets) -> None:
    settings = DataConfig(identities_per_step=3, other_scene=1.0, zero_delta=0.0)
    batch = edit_sets.batch(np.random.default_rng(0), settings)
    assert not batch.same_scene.any()
    weight = loss_weight(batch, (4, 4), ObjectiveConfig(change_weight=5.0))
    assert torch.equal(weight, torch.ones_like(weight))


class Perfect(torch.nn.Module):
    """Stands in for the networks and returns a fixed prediction."""

    def __init__(self, prediction: Tensor) -> None:
        super().__init__()
        self.prediction = prediction
        self.seen: tuple[Tensor, ...] = ()

    def forward(self, *inputs: Tensor) -> Tensor:
        self.seen = inputs
        return self.prediction


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
@pytest.mark.parametrize("loss", ["l2", "huber"])
def test_exact_prediction_has_no_loss(
    edit_sets: EditSets, configure, prediction: str, loss: str
) -> None:
    start = initialise(configure())
    config = ObjectiveConfig(prediction=prediction, loss=loss)  # type: ignore[arg-type]
    scheduler = DDPMScheduler.from_config(
        {**STABLE_DIFFUSION_SCHEDULER, "prediction_type": prediction}
    )
    batch = edit_sets.batch(np.random.default_rng(0), DataConfig())
    latents = encode(batch, start.vae, start.networks)
    generator = torch.Generator().manual_seed(0)
    step = draw(batch, latents.target.shape, config, 1000, generator)
    weight = loss_weight(batch, (4, 4), config)
    exact = regression_target(scheduler, latents.target, step)
    if prediction == "epsilon":
        assert torch.equal(exact, step.noise)
    networks = Perfect(exact)
    prompt = start.prompt_embeds
    assert float(edit_loss(networks, latents, weight, step, prompt, scheduler, config)) == 0.0  # type: ignore[arg-type]
    noisy, condition, identity, delta, timestep, _ = networks.seen
    assert torch.equal(noisy, scheduler.add_noise(latents.target, step.noise, step.timestep))
    assert torch.equal(condition, latents.condition)
    assert torch.equal(identity, latents.identity)
    assert torch.equal(delta, step.delta)
    assert torch.equal(timestep, step.timestep)
    wrong = Perfect(exact + 0.5)
    value = float(edit_loss(wrong, latents, weight, step, prompt, scheduler, config))  # type: ignore[arg-type]
    width = config.huber_width
    expected = 0.25 if loss == "l2" else width * ((0.25 + width**2) ** 0.5 - width)
    assert value == pytest.approx(expected, rel=1e-4)


def test_networks_are_one_module(configure) -> None:
    networks = initialise(configure("model.attribute_controller=convolution")).networks
    assert isinstance(networks, Networks)
    names = {name.partition(".")[0] for name, _ in networks.named_parameters()}
    assert names == {"denoiser", "id_encoder", "controller"}
