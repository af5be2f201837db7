"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from diffusers.training_utils import EMAModel
from magicface_training.averaging import WeightAverage
from magicface_training.settings import ConfigError
from torch import nn


def module(value: float) -> nn.Linear:
    layer = nn.Linear(1, 1)
    nn.init.constant_(layer.weight, value)
    layer.bias.requires_grad_(False)
    return layer


@pytest.mark.parametrize(("decay", "step", "expected"), [(0.9, 1, 2 / 11), (0.9, 10_000, 0.9)])
def test_decay_grows_to_its_setting(decay: float, step: int, expected: float) -> None:
    layer = module(1.0)
    average = WeightAverage(layer, decay)
    assert set(average.shadow) == {"weight"}
    with torch.no_grad():
        layer.weight.fill_(0.0)
    average.update(step)
    assert float(average.shadow["weight"]) == pytest.approx(expected)
    assert float(layer.weight.detach()) == 0.0


def test_values_are_those_of_diffusers_where_it_can() -> None:
    """Its steps are counted from the update on; the same numbers but for the last bits."""
    layer = module(1.0)
    ours = WeightAverage(layer, 0.95)
    theirs = EMAModel([layer.weight], 0.95, update_after_step=-1)
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 301):
        with torch.no_grad():
            layer.weight.normal_(generator=generator)
        ours.update(step)
        theirs.step([layer.weight])
        assert theirs.cur_decay_value == min(0.95, (1 + step) / (10 + step))
    torch.testing.assert_close(ours.shadow["weight"], theirs.shadow_params[0], rtol=1e-5, atol=1e-6)


def test_diffusers_would_not_average_weights_brought_to_the_shadow() -> None:
    """Why there is a class of our own: with the shadow on the CPU, only copies can be given."""
    layer = module(1.0)
    ours = WeightAverage(layer, 0.9, torch.device("cpu"))
    theirs = EMAModel([layer.weight], 0.9, update_after_step=-1)
    with torch.no_grad():
        layer.weight.fill_(0.0)
        theirs.step([layer.weight.to("cpu", copy=True)])
    ours.update(1)
    assert float(ours.shadow["weight"]) == pytest.approx(2 / 11)
    assert float(theirs.shadow_params[0]) == 0.0  # copied, not averaged


def test_every_few_steps_with_the_same_decay() -> None:
    often, seldom = (WeightAverage(module(1.0), 0.9, every=every) for every in (1, 4))
    for average in (often, seldom):
        for step in range(1, 401):
            with torch.no_grad():
                average.parameters["weight"].fill_(step / 400)
            average.update(step)
    found = [float(average.shadow["weight"]) for average in (often, seldom)]
    assert found[1] == pytest.approx(found[0], rel=0.02)


def test_bfloat16_weights_are_averaged_in_float32() -> None:
    """Steps that bfloat16 cannot show add up, and the trained weights come back as they were."""
    layer = module(1.0).to(torch.bfloat16)
    average = WeightAverage(layer, 0.9999, torch.device("cpu"))
    with torch.no_grad():
        layer.weight.fill_(1.01)
    trained = layer.weight.clone()
    for step in range(10_000, 10_100):
        average.update(step)
    assert average.shadow["weight"].dtype == torch.float32
    assert 1.0 < float(average.shadow["weight"]) < 1.001
    with average.applied():
        assert float(layer.weight.detach()) == 1.0
    assert torch.equal(layer.weight, trained)


def test_another_module_is_refused() -> None:
    average = WeightAverage(module(1.0), 0.9)
    average.load({"weight": torch.full((1, 1), 2.0)})
    assert float(average.shadow["weight"]) == 2.0
    with pytest.raises(ConfigError, match=r"averages other weights .*\(bias, weight\)"):
        average.load({"bias": torch.zeros(1)})


def test_applied_gives_the_trained_weights_back() -> None:
    layer = module(1.0)
    average = WeightAverage(layer, 0.5)
    with torch.no_grad():
        layer.weight.fill_(3.0)
    with average.applied():
        assert float(layer.weight.detach()) == 1.0
    assert float(layer.weight.detach()) == 3.0
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert float(layer.weight.detach()) == 3.0
