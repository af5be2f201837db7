"""Gradient energy of edits and answers."""

from __future__ import annotations

import math

import pytest
import torch
from magicface_training.evaluation.sharpness import GradientEnergy, gradient_energy
from torch.nn import functional

SOURCE = torch.zeros(1, 3, 32, 32)


@pytest.fixture
def answer() -> torch.Tensor:
    """Stripes, all of them changed pixels."""
    columns = torch.arange(32) // 4 % 2 * 0.6 + 0.2
    return columns.expand(1, 3, 32, 32).clone()


def test_the_answer_itself_is_as_sharp(answer: torch.Tensor) -> None:
    assert gradient_energy(answer, answer, SOURCE).ratio == 1.0


def test_blur_and_halved_contrast_lose_energy_and_noise_adds_it(answer: torch.Tensor) -> None:
    blurred = functional.avg_pool2d(answer, 5, 1, 2, count_include_pad=False)
    assert gradient_energy(blurred, answer, SOURCE).ratio < 0.6
    assert gradient_energy(answer / 2, answer, SOURCE).ratio == pytest.approx(0.25)
    noise = torch.randn(answer.shape, generator=torch.Generator().manual_seed(1)) * 0.1
    assert gradient_energy(answer + noise, answer, SOURCE).ratio > 1


def test_pixels_that_do_not_change_have_no_part(answer: torch.Tensor) -> None:
    half = answer.clone()
    half[..., 16:, :] = 0
    edit = half.clone()
    edit[..., 18:, :] = torch.rand(1, 3, 14, 32, generator=torch.Generator().manual_seed(1))
    assert gradient_energy(edit, half, SOURCE).ratio == pytest.approx(1.0)


def test_energies_pool_by_addition() -> None:
    assert (GradientEnergy(1, 2) + GradientEnergy(2, 4)).ratio == 0.5
    assert math.isnan(GradientEnergy().ratio)
