"""Taking back a shift of tone, and nothing else."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.errors import ImageError
from magicface_core.pasting.colour import match_colours, ring_of

SIZE = 256


def scene(seed: int = 0, size: int = SIZE) -> Tensor:
    """[1,3,S,S] of soft blobs, colours 0.15 to 0.85."""
    noise = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(seed))
    return 0.15 + 0.7 * F.interpolate(noise, size=(size, size), mode="bilinear")


@pytest.fixture
def mask() -> Tensor:
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 80:180, 90:170] = 1
    return mask


def edit(original: Tensor, mask: Tensor) -> Tensor:
    """Another picture under the mask, with a frayed edge that reaches into the ring."""
    inside = F.max_pool2d(mask, (1, 21), 1, (0, 10)) > 0
    return torch.where(inside, scene(9), original)


@pytest.mark.parametrize(
    ("gain", "shift"),
    [
        ((1.0, 1.0, 1.0), (0.04, 0.04, 0.04)),
        ((0.92, 0.92, 0.92), (0.0, 0.02, 0.05)),
        ((1.1, 1.0, 0.95), (-0.08, 0.0, 0.05)),
    ],
)
def test_a_made_shift_of_tone_is_taken_back(
    mask: Tensor, gain: tuple[float, ...], shift: tuple[float, ...]
) -> None:
    original = scene()
    wanted = edit(original, mask)
    gains, shifts = (torch.tensor(values).view(1, 3, 1, 1) for values in (gain, shift))
    noise = 0.005 * torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    shifted = (wanted * gains + shifts + noise).clamp(0, 1)
    matched = match_colours(shifted, original, mask)
    assert (shifted - wanted).abs().mean() > 0.008
    assert (matched - wanted).abs().mean() < 0.006
    halfway = match_colours(shifted, original, mask, 0.5)
    assert torch.allclose(halfway, (shifted + matched) / 2, atol=1e-5)
    assert match_colours(shifted, original, mask, 0.0) is shifted


def test_nothing_to_correct_returns_the_edit_bit_for_bit(mask: Tensor) -> None:
    original = scene()
    assert torch.equal(match_colours(original, original, mask), original)
    edited = edit(original, mask)
    assert torch.equal(match_colours(edited, original, mask), edited)
    blurred = F.avg_pool2d(edited, 5, 1, 2, count_include_pad=False)
    assert torch.equal(match_colours(blurred, original, mask), blurred)


def test_another_picture_is_left_alone(mask: Tensor) -> None:
    other = scene(5)
    assert torch.equal(match_colours(other, scene(), mask), other)
    dark = torch.zeros_like(other)
    assert torch.equal(match_colours(dark, scene(), mask), dark)
    white = torch.ones_like(other)
    assert torch.equal(match_colours(white, scene(), mask), white)


def test_a_tint_on_white_is_taken_back(mask: Tensor) -> None:
    original = torch.ones(1, 3, SIZE, SIZE)
    tinted = original * torch.tensor([0.97, 0.96, 0.98]).view(1, 3, 1, 1)
    matched = match_colours(tinted, original, mask)
    assert (matched - original).abs().max() < 1e-3


def test_limits_of_the_range_do_not_bend_the_fit(mask: Tensor) -> None:
    original = (scene() * 1.4 - 0.2).clamp(0, 1)
    shifted = (original * 1.15 + 0.02).clamp(0, 1)
    matched = match_colours(shifted, original, mask)
    kept = (shifted < 0.99).all(1, keepdim=True).expand_as(shifted)
    assert (matched - original)[kept].abs().mean() < 0.01


def test_without_a_ring_the_border_is_read() -> None:
    original, everything = scene(), torch.ones(1, 1, SIZE, SIZE)
    edited = original.clone()
    edited[..., 60:200, 60:200] = scene(9)[..., 60:200, 60:200]
    matched = match_colours((edited + 0.05).clamp(0, 1), original, everything)
    assert (matched - edited).abs().mean() < 0.004


def test_rows_are_matched_on_their_own(mask: Tensor) -> None:
    original = torch.cat([scene(), scene(1)])
    edited = torch.cat([scene() + 0.06, scene(1)])
    both = match_colours(edited, original, mask.expand(2, -1, -1, -1))
    assert torch.equal(both[:1], match_colours(edited[:1], original[:1], mask))
    assert torch.equal(both[1], edited[1])


@pytest.mark.parametrize("size", [1, 2, 7, 64, 512, 1000])
def test_crops_of_any_size(size: int) -> None:
    original = scene(size=size)
    mask = torch.zeros(1, 1, size, size)
    mask[..., size // 3 : size // 2 + 1, size // 3 : size // 2 + 1] = 1
    matched = match_colours(original + 0.05, original, mask)
    assert matched.shape == original.shape
    if size >= 64:
        assert (matched - original).abs().max() < 2e-3


def test_the_ring_lies_beside_the_mask(mask: Tensor) -> None:
    ring = ring_of(mask)
    assert ring.shape == (1, 1, 128, 128)
    inside = F.max_pool2d(mask, 2) > 0
    assert not (ring & inside).any()
    far = torch.zeros_like(inside)
    far[..., :20, :] = True
    assert not (ring & far).any()
    assert ring.float().mean() > 0.1
    border = ring_of(torch.ones_like(mask))
    assert border[0, 0, 0].all()
    assert not border[0, 0, 20:-20, 20:-20].any()


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan")])
def test_strengths_out_of_range(mask: Tensor, strength: float) -> None:
    with pytest.raises(ImageError, match="strength of a colour match is 0 to 1"):
        match_colours(scene(), scene(), mask, strength)


def test_shapes_that_do_not_fit(mask: Tensor) -> None:
    with pytest.raises(ImageError, match="cannot be matched"):
        match_colours(scene(), scene(size=128), mask)
    with pytest.raises(ImageError, match="cannot be matched"):
        match_colours(scene(), scene(), mask[..., ::2, ::2])
