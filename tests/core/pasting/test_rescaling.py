"""The manner in which a picture was scaled is found out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.pasting.rescaling import LARGEST_TRIED, scaled_alike
from magicface_core.pictures.resampling import enlarge_to, reduce_to


@pytest.fixture(scope="module")
def picture() -> Tensor:
    return torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [47, 64, 150])
@pytest.mark.parametrize("mode", ["nearest-exact", "nearest", "area", "bilinear", "bicubic"])
def test_the_filter_is_found_though_a_part_was_edited(
    picture: Tensor, mode: str, size: int
) -> None:
    scaled = F.interpolate(picture, (size, size), mode=mode).clamp(0, 1)
    edited = scaled.clone()
    edited[..., : size // 2, :] = 0.5
    assert torch.equal(scaled_alike(picture, edited), scaled)


def test_our_own_manner_goes_first(picture: Tensor) -> None:
    for size, expected in ((50, reduce_to(picture, 50)), (200, enlarge_to(picture, 200))):
        other = torch.full((1, 3, size, size), 5.0)  # as far from every candidate
        assert torch.equal(scaled_alike(picture, other), expected.clamp(0, 1))


def test_the_same_size_is_the_picture_itself(picture: Tensor) -> None:
    assert scaled_alike(picture, torch.zeros_like(picture)) is picture


def test_large_pictures_are_not_searched(picture: Tensor) -> None:
    size = LARGEST_TRIED + 1
    scaled = F.interpolate(picture, (size, size), mode="nearest")
    assert torch.equal(scaled_alike(picture, scaled), enlarge_to(picture, size).clamp(0, 1))
