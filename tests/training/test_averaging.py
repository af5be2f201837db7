"""The moving average of the weights."""

from __future__ import annotations

import pytest
import torch
from magicface_training.averaging import WeightAverage
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
