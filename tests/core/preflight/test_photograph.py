"""Black areas, softness and light on pictures made to order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magicface_core.pictures.resampling import gaussian_blur
from magicface_core.preflight.photograph import black_areas, face_light, softness

SIZE = 256
EVERYWHERE = torch.ones(1, 1, SIZE, SIZE, dtype=torch.bool)


def texture() -> torch.Tensor:
    """[1,3,256,256] with detail of all sizes, as photographs have."""
    rng = np.random.default_rng(0)
    spectrum = rng.normal(size=(SIZE, SIZE)) + 1j * rng.normal(size=(SIZE, SIZE))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIZE), np.fft.fftfreq(SIZE)))
    picture = np.fft.ifft2(spectrum / np.maximum(frequency, 1 / SIZE) ** 1.2).real
    picture = 0.5 + 0.12 * picture / picture.std()
    return torch.from_numpy(picture).float().clamp(0, 1).expand(1, 3, SIZE, SIZE)


def share(picture: torch.Tensor) -> float:
    return float(black_areas(picture).float().mean())


def test_black_bars_are_measured() -> None:
    picture = texture().clone()
    picture[..., :26] = 0
    picture[..., -26:] = 4 / 255  # a JPEG's black
    assert share(picture) == pytest.approx(52 / SIZE, abs=0.01)


def test_what_is_dark_black_inside_or_thin_is_no_bar() -> None:
    dark, inside, line = texture() * 0.4, texture().clone(), texture().clone()
    inside[..., 100:150, 100:150] = 0
    line[..., :3] = 0
    assert [share(picture) for picture in (dark, inside, line)] == [0, 0, 0]


def test_black_corners_of_a_turned_picture() -> None:
    x, y = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="xy")
    picture = texture() * (x + y > 80)
    assert share(picture) == pytest.approx(80 * 80 / 2 / SIZE**2, rel=0.1)


@pytest.mark.parametrize("blur", [1.5, 2.0, 3.0])
def test_softness_is_the_width_of_the_blur(blur: float) -> None:
    assert softness(texture(), EVERYWHERE) < 1
    assert softness(gaussian_blur(texture(), blur), EVERYWHERE) == pytest.approx(blur, rel=0.25)


def test_softness_does_not_depend_on_contrast_or_on_what_lies_outside() -> None:
    soft = gaussian_blur(texture(), 2.5)
    flat = 0.5 + 0.2 * (soft - 0.5)
    half = EVERYWHERE.clone()
    half[..., 128:] = False
    joined = torch.cat([soft[..., :140], texture()[..., 140:]], -1)
    expected = softness(soft, EVERYWHERE)
    assert softness(flat, EVERYWHERE) == pytest.approx(expected, rel=0.01)
    assert softness(joined, half) == pytest.approx(expected, rel=0.2)


def test_a_plain_area_has_no_detail() -> None:
    assert softness(torch.full((1, 3, SIZE, SIZE), 0.4), EVERYWHERE) == 4


def test_light_is_that_of_the_region() -> None:
    picture = torch.zeros(1, 3, SIZE, SIZE)
    picture[..., :64] = 1.0
    picture[..., 64:128] = 0.3
    region = EVERYWHERE.clone()
    region[..., 128:] = False
    assert face_light(picture, region).burnt_out == pytest.approx(0.5)
    dark = face_light(picture * 0.2, region)
    assert (dark.burnt_out, dark.brightest) == (0, pytest.approx(0.2))
    nowhere = face_light(picture, torch.zeros_like(region))
    assert (nowhere.burnt_out, nowhere.brightest) == (0, 0)
