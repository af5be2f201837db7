"""The objective: what is drawn, what is scaled, what is weighted."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from magicface_training.config import DataConfig, ObjectiveConfig
from magicface_training.data.edit_sets import EditSets
from magicface_training.data.errors import DataError
from magicface_training.data.samples import Batch, CachedLatents
from magicface_training.initialise import Networks, initialise
from magicface_training.objective import (
    Draw,
    Latents,
    clean_latents,
    draw,
    edit_loss,
    encode,
    loss_weight,
    needs_pictures,
    regression_target,
    timestep_weight,
)
from torch import Tensor

from magicface_core.network.autoencoder import PatchAutoencoder, encode_mode
from magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER

ROWS = 4000


def rows(delta: Tensor) -> Batch:
    empty = torch.zeros(len(delta), 3, 8, 8)
    mask = torch.zeros(len(delta), 1, 8, 8)
    same = torch.ones(len(delta), dtype=torch.bool)
    return Batch(empty, empty, empty, mask, delta, same, torch.arange(len(delta)))


def placed(batch: Batch) -> Batch:
    """At the first positions of a run."""
    return replace(batch, position=torch.arange(len(batch.identity)))


def drawn(delta: Tensor, seed: int = 0, **settings: float) -> Draw:
    config = replace(ObjectiveConfig(), **settings)  # type: ignore[arg-type]
    shape = torch.Size([len(delta), 4, 2, 2])
    return draw(rows(delta), shape, config, 1000, seed)


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


def test_draws_depend_on_seed_and_position_alone() -> None:
    given = torch.zeros(6, 12)
    first, again, other = (drawn(given, seed) for seed in (1, 1, 2))
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.delta, again.delta)
    assert not torch.equal(first.noise, other.noise)
    assert len(torch.unique(first.noise[:, 0, 0, 0])) == 6
    assert not torch.equal(first.noise, first.posterior)


def test_rows_draw_the_same_wherever_they_are(edit_sets: EditSets) -> None:
    """A batch of two identity images with two targets each, and the same as two batches."""
    settings = DataConfig(identities_per_step=2, targets_per_identity=2)
    batch = edit_sets.batch(np.random.default_rng(0), settings)
    whole = replace(batch, position=torch.tensor([6, 7]))
    shape, config = torch.Size([1, 4, 2, 2]), ObjectiveConfig()
    together = draw(whole, shape, config, 1000, 0)
    for row in (0, 1):
        alone = Batch(
            *(part[row::2] for part in (batch.identity, batch.target, batch.condition)),
            *(part[row::2] for part in (batch.mask, batch.delta, batch.same_scene)),
            torch.tensor([6 + row]),
        )
        part = draw(alone, shape, config, 1000, 0)
        for name in ("noise", "posterior", "timestep", "delta"):
            assert torch.equal(getattr(part, name), getattr(together, name)[row::2]), name


def test_only_the_target_is_scaled(edit_sets: EditSets, configure) -> None:
    start = initialise(configure())
    vae = PatchAutoencoder(latent_channels=4, width=4, blocks=1, scaling_factor=0.18215)
    batch = edit_sets.batch(np.random.default_rng(0), DataConfig())
    latents = encode(batch, vae, start.networks)
    assert torch.equal(latents.target_mean, encode_mode(vae, batch.target) * 0.18215)
    assert torch.equal(latents.identity, encode_mode(vae, batch.identity))
    assert torch.equal(latents.condition, encode_mode(vae, batch.condition))


def test_targets_are_sampled_from_their_posterior() -> None:
    mean, std, noise = torch.randn(3, 2, 4, 2, 2).unbind()
    step = Draw(noise, noise + 1, torch.zeros(2), torch.zeros(2, 12))
    latents = Latents(mean, std.abs(), mean, mean)
    assert torch.equal(latents.target(step, ObjectiveConfig()), mean + std.abs() * (noise + 1))
    assert torch.equal(latents.target(step, ObjectiveConfig(target_latents="mode")), mean)


def test_cached_latents_stand_in_for_pictures(edit_sets: EditSets, configure) -> None:
    start = initialise(configure())
    pictures = edit_sets.batch(np.random.default_rng(0), DataConfig())
    exact = encode(pictures, start.vae, start.networks)
    cached = CachedLatents(
        *(part.half() for part in (exact.identity, exact.target_mean, exact.target_std)),
        exact.condition.half(),
    )
    batch = replace(pictures, identity=None, target=None, condition=None, latents=cached)
    latents = encode(batch, start.vae, start.networks)
    for field in fields(Latents):
        found = getattr(latents, field.name)
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, getattr(exact, field.name), rtol=1e-3, atol=1e-3)
    assert not needs_pictures(ObjectiveConfig(), start.networks)
    with pytest.raises(DataError, match=r"only cached latents were read: set data\.cache to ''"):
        loss_weight(batch, (4, 4), ObjectiveConfig(change_weight=1.0))
    assert needs_pictures(ObjectiveConfig(change_weight=1.0), start.networks)


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
    assert torch.equal(masked[:, :, 0, 0], torch.full((3, 1), 0.25))
    assert torch.equal(masked[:, :, 1, 1], torch.ones(3, 1))
    changing = loss_weight(batch, (4, 4), ObjectiveConfig(change_weight=5.0))
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
    batch = placed(edit_sets.batch(np.random.default_rng(0), DataConfig()))
    latents = encode(batch, start.vae, start.networks)
    step = draw(batch, latents.target_mean.shape, config, 1000, 0)
    weight = loss_weight(batch, (4, 4), config)
    clean = latents.target(step, config)
    exact = regression_target(scheduler, clean, step)
    if prediction == "epsilon":
        assert torch.equal(exact, step.noise)
    networks = Perfect(exact)
    prompt = start.prompt_embeds
    assert float(edit_loss(networks, latents, weight, step, prompt, scheduler, config)) == 0.0  # type: ignore[arg-type]
    noisy, condition, identity, delta, timestep, _ = networks.seen
    assert torch.equal(noisy, scheduler.add_noise(clean, step.noise, step.timestep))
    assert torch.equal(condition, latents.condition)
    assert torch.equal(identity, latents.identity)
    assert torch.equal(delta, step.delta)
    assert torch.equal(timestep, step.timestep)
    wrong = Perfect(exact + 0.5)
    value = float(edit_loss(wrong, latents, weight, step, prompt, scheduler, config))  # type: ignore[arg-type]
    width = config.huber_width
    expected = 0.25 if loss == "l2" else width * ((0.25 + width**2) ** 0.5 - width)
    assert value == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("kind", "cap"), [("epsilon", 1.0), ("v_prediction", 1.0), ("sample", 5)])
def test_min_snr_weights(kind: str, cap: float) -> None:
    """Hang et al. 2023, with SNR = alpha^2 / sigma^2 and gamma 5."""
    scheduler = DDPMScheduler.from_config({**STABLE_DIFFUSION_SCHEDULER, "prediction_type": kind})
    timesteps = torch.tensor([0, 100, 500, 999])
    weight = timestep_weight(scheduler, timesteps, gamma=5.0)
    assert weight.shape == (4, 1, 1, 1)
    alpha = scheduler.alphas_cumprod[timesteps]
    ratio = alpha / (1 - alpha)
    divisor = {"epsilon": ratio, "v_prediction": ratio + 1, "sample": torch.ones(4)}[kind]
    torch.testing.assert_close(weight.flatten(), ratio.clamp_max(5.0) / divisor)
    assert float(weight.max()) <= cap


def test_networks_are_one_module(configure) -> None:
    networks = initialise(configure("model.attribute_controller=convolution")).networks
    assert isinstance(networks, Networks)
    names = {name.partition(".")[0] for name, _ in networks.named_parameters()}
    assert names == {"denoiser", "id_encoder", "controller"}


@pytest.mark.parametrize("kind", ["epsilon", "sample", "v_prediction"])
def test_clean_latents_of_exact_predictions(kind: str) -> None:
    """Rows may be of different timesteps."""
    clean, noise = torch.randn(2, 2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    timestep = torch.tensor([999, 300])
    scheduler = DDPMScheduler(prediction_type=kind)
    noisy = scheduler.add_noise(clean, noise, timestep)
    velocity = scheduler.get_velocity(clean, noise, timestep)
    exact = {"epsilon": noise, "sample": clean, "v_prediction": velocity}[kind]
    found = clean_latents(scheduler, exact, noisy, timestep)
    torch.testing.assert_close(found, clean, rtol=1e-2, atol=1e-3)
