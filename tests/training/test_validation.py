"""Validation looks and leaves no trace."""

from __future__ import annotations

import random
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from magicface_training.averaging import WeightAverage
from magicface_training.config import TrainConfig, ValidationConfig
from magicface_training.data.edit_sets import EditSets
from magicface_training.grid import Row, action_unit_response
from magicface_training.initialise import initialise
from magicface_training.validation import Validator, timestep_levels, untouched, validation_config
from PIL import Image

from magicface_core.aus import AUVector
from magicface_core.perception.faces import AUEstimate
from magicface_core.pictures.images import to_tensor

GRID = (
    "validation.identities=2",
    "validation.aus=[4, 12, 25]",
    "validation.guidance=[1.0, 2.0]",
    "validation.steps=1",
    "validation.probe=false",
)


def validator(config: TrainConfig, data: EditSets, scale: float = 1.0) -> Validator:
    """Averaged weights are ``scale`` times the trained ones."""
    start = initialise(config)
    average = WeightAverage(start.networks, 0.9)
    with torch.no_grad():
        for shadow in average.shadow.values():
            shadow.mul_(scale)
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    return Validator(start, average, data, scheduler, config)


def test_repeatable_and_without_a_trace(configure, edit_sets: EditSets) -> None:
    config = configure(*GRID)
    judge = validator(config, edit_sets, scale=0.5)
    networks = judge.start.networks
    networks.denoiser.train()
    networks.id_encoder.eval()
    weights = {k: v.clone() for k, v in networks.state_dict().items()}
    modes = [module.training for module in networks.modules()]
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    plain_state = random.getstate()
    results = [judge(step)[0] for step in (1, 2)]
    assert results[0] == results[1]
    levels = {"validation_loss_t250", "validation_loss_t750"}
    assert set(results[0]) == {*levels, "validation_loss", "one_step_ratio"}
    assert all(np.isfinite(value) and value > 0 for value in results[0].values())
    for name, tensor in networks.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
    assert [module.training for module in networks.modules()] == modes
    assert torch.equal(torch_state, torch.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])
    assert plain_state == random.getstate()
    assert all(p.grad is None for p in networks.parameters())
    first, second = sorted((Path(config.run.output) / "validation").iterdir())
    assert first.read_bytes() == second.read_bytes()


def test_random_numbers_that_are_drawn_are_given_back() -> None:
    layer = torch.nn.Dropout()
    before = (torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy())

    def look() -> None:
        with untouched(layer):
            assert not layer.training
            torch.rand(3)
            random.random()
            np.random.rand()
            raise RuntimeError

    with pytest.raises(RuntimeError):
        look()
    assert layer.training
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])


def test_averaged_weights_are_judged(configure, edit_sets: EditSets) -> None:
    config = configure()
    same, other = validator(config, edit_sets), validator(config, edit_sets, scale=0.5)
    trained = replace(other, average=None)
    first, second, third = (each(1)[0]["validation_loss"] for each in (same, other, trained))
    assert first != second
    assert first == third


def test_grid_has_a_row_for_each_identity_and_guidance(configure, edit_sets: EditSets) -> None:
    config = configure(*GRID)
    _, grid = validator(config, edit_sets)(7)
    assert grid is not None
    with Image.open(Path(config.run.output) / "validation" / "00000007.png") as saved:
        assert saved.size == grid.size
    columns, rows = 2 + 3, 2 * 2
    assert grid.width > columns * 160
    assert grid.height > rows * 160
    none, (values, _) = configure("validation.identities=0"), validator(config, edit_sets)(8)
    assert not any(name.startswith("au_response") for name in values)
    assert validator(none, edit_sets)(9)[1] is None


def test_only_whole_pictures_and_exact_edits_are_judged(configure) -> None:
    config = validation_config(configure("validation.rows=9"))
    assert config.optim.steps == 3
    assert (config.data.window, config.data.zero_delta, config.data.flip) == (0, 0.0, 0.0)
    assert config.stages == ()
    assert config.data.targets_per_identity == 2


def test_levels_are_the_middles_of_equal_ranges() -> None:
    assert timestep_levels(1000, 5) == [100, 300, 500, 700, 900]
    assert timestep_levels(1000, 1) == [500]


class BrightnessReader:
    """In place of perception: AU25 is a picture's brightness in tenths; black holds no face."""

    def faces(self, image: torch.Tensor, limit: int) -> list[float]:
        brightness = float(image.mean())
        return [brightness] if brightness > 0.01 else []

    def estimate_aus(self, face: float, image: torch.Tensor) -> AUEstimate:
        values = AUVector(AU25=10 * face, AU26=1.0)
        return AUEstimate(values, (1.0,) * 12, "brightness")


def row(*brightness: float) -> Row:
    pictures = torch.ones(len(brightness), 3, 8, 8) * torch.tensor(brightness)[:, None, None, None]
    return Row(pictures[:1], pictures, 1.0)


def test_response_is_the_slope_of_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("magicface_training.grid.Perception", BrightnessReader)
    config = ValidationConfig(aus=(25, 26), strength=4.0)
    obedient, deaf, faceless = row(0.1, 0.5, 0.1), row(0.1, 0.1, 0.1), row(0.0, 0.5, 0.5)
    found = action_unit_response([obedient, faceless], config)
    expected = {"au_response_AU25": 1, "au_response_AU26": 0, "au_response": 0.5}
    assert found == pytest.approx(expected)
    assert action_unit_response([deaf], config)["au_response"] == pytest.approx(0.0)
    both = action_unit_response([obedient, deaf], config)
    assert both["au_response_AU25"] == pytest.approx(0.5)
    assert action_unit_response([faceless], config) == {}


def test_response_to_edits_of_a_real_face() -> None:
    """An edit that changes nothing has none."""
    with resources.files("magicface_core").joinpath("assets/portrait.png").open("rb") as file:
        portrait = to_tensor(Image.open(file).convert("RGB").resize((256, 256)))
    same = Row(portrait, torch.cat([portrait, portrait]), 1.0)
    config = ValidationConfig(aus=(12,))
    assert action_unit_response([same], config) == {"au_response_AU12": 0.0, "au_response": 0.0}
