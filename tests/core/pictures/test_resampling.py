"""Affine sampling and smoothing."""

from __future__ import annotations

import numpy as np
import torch

from magicface_core.pictures.resampling import (
    box_blur,
    cut_window,
    gaussian_blur,
    reduced,
    resample,
)


def test_identity_returns_the_picture() -> None:
    image = torch.rand(2, 4, 9, 13, generator=torch.Generator().manual_seed(0))
    matrix = np.array([[1.0, 0, 0], [0, 1, 0]])
    torch.testing.assert_close(resample(image, matrix, (9, 13)), image, atol=1e-5, rtol=0)


def test_reduction_keeps_the_mean() -> None:
    image = torch.rand(1, 1, 120, 120, generator=torch.Generator().manual_seed(0))
    matrix = np.array([[6.0, 0, 0], [0, 6.0, 0]])
    blocks = image.view(1, 1, 20, 6, 20, 6).mean((3, 5))
    small = resample(image, matrix, (20, 20))
    assert (small - blocks).abs().mean() < 0.02


def test_reduced_pictures_keep_their_places() -> None:
    image = torch.zeros(1, 1, 101, 203)
    image[..., 45:] = 1
    assert torch.allclose(reduced(image, 1.0), image, atol=1e-5)
    for reduction in (1.5, 4.0, 9.3):
        small = reduced(image, reduction)
        assert small.shape[-2:] == (-(-101 // reduction), -(-203 // reduction))
        edge = float((1 - small[0, 0, 3]).sum())
        assert abs(edge - 45 / reduction) < 0.3


def test_zeros_outside() -> None:
    image = torch.ones(1, 3, 10, 10)
    matrix = np.array([[1.0, 0, -4.0], [0, 1, 0]])
    left = resample(image, matrix, (10, 10), padding="zeros")[0, 0, 5]
    assert left[:3].abs().max() == 0
    assert left[5:].min() == 1


def test_windows_inside_across_and_beside_the_picture() -> None:
    image = torch.arange(24.0).view(1, 1, 4, 6)
    assert torch.equal(cut_window(image, (1, 1, 3, 4), "reflect"), image[..., 1:4, 1:3])
    across = cut_window(image, (-2, 0, 2, 4), "reflect")
    assert across[0, 0, 0].tolist() == [2, 1, 0, 1]
    beside = cut_window(image, (20, -9, 25, -6), "zeros")
    assert beside.shape == (1, 1, 3, 5)
    assert not beside.any()
    far = cut_window(image, (20, -9, 25, -6), "reflect")
    assert far.shape == (1, 1, 3, 5)
    assert far.min() >= 0


def test_a_single_pixel_repeats_everywhere() -> None:
    image = torch.full((1, 3, 1, 1), 0.4)
    matrix = np.array([[0.5, 0, -2.0], [0, 0.5, -2.0]])
    assert torch.allclose(resample(image, matrix, (8, 8)), torch.tensor(0.4))


def test_blurs_keep_constants_and_spread_points() -> None:
    constant = torch.full((1, 2, 12, 12), 0.3)
    torch.testing.assert_close(box_blur(constant, 2), constant)
    torch.testing.assert_close(gaussian_blur(constant, 1.5), constant)
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    assert abs(float(box_blur(point, 1)[0, 0, 11, 11]) - 1 / 9) < 1e-6
    smooth = gaussian_blur(point, 2.0)
    assert abs(float(smooth.sum()) - 1) < 1e-4
    assert int(smooth.argmax()) == 10 * 21 + 10
