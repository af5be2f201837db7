"""Masks from outside, and growing them."""

from __future__ import annotations

import pytest
import torch

from magicface_core.errors import ImageError
from magicface_core.pictures.masks import grow_mask, to_masks


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((5, 7), (1, 1, 5, 7)), ((3, 5, 7), (3, 1, 5, 7)), ((3, 1, 5, 7), (3, 1, 5, 7))],
)
def test_every_layout_becomes_one(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    mask = torch.rand(shape, dtype=torch.float64)
    before = mask.clone()
    found = to_masks(mask)
    assert found.shape == expected
    assert found.dtype == torch.float32
    assert torch.equal(found.flatten(), mask.float().flatten())
    found.zero_()
    assert torch.equal(mask, before)


def test_small_overshoot_is_clipped_and_booleans_are_masks() -> None:
    assert to_masks(torch.tensor([[-0.05, 1.05]])).tolist() == [[[[0.0, 1.0]]]]
    assert to_masks(torch.tensor([[True, False]])).tolist() == [[[[1.0, 0.0]]]]


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (torch.zeros(4), r"not \[4\]"),
        (torch.zeros(2, 3, 4, 4), r"not \[2, 3, 4, 4\]"),
        (torch.zeros(0, 4, 4), "no pixels"),
        (torch.zeros(4, 4, dtype=torch.int64), "torch.int64"),
        (torch.full((4, 4), float("nan")), "NaN"),
        (torch.full((4, 4), float("inf")), "infinite"),
        (torch.full((4, 4), 255.0), r"not 255\.\.255: divide"),
    ],
)
def test_what_is_no_mask_is_named(mask: torch.Tensor, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_masks(mask)


def test_growing_never_shrinks_and_reaches_downwards() -> None:
    mask = torch.zeros(1, 1, 21, 21)
    mask[..., 8:12, 8:12] = 1
    assert torch.equal(grow_mask(mask, (0.0, 1.0)), mask)
    grown = grow_mask(mask, (0.0, 1.0), dilation=2, extension=3)
    assert (grown >= mask).all()
    rows = grown[0, 0].any(1).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (6, 16)
