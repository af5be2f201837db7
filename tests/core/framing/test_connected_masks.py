"""Masks of the crop and of the whole picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magicface_core.errors import ImageError
from magicface_core.framing.connected_masks import ConnectedMask
from magicface_core.pictures.crop import Crop

SOURCE = (300, 200)
CROP = Crop((120, 100), 80, SOURCE)


def rectangle(height: int, width: int, share: float = 0.25) -> Tensor:
    mask = torch.zeros(1, 1, height, width)
    top, left = round(height * share), round(width * share)
    mask[..., top : height - top, left : width - left] = 1
    return mask


@pytest.mark.parametrize("given", [16, 60, 64, 77, 256])
def test_masks_of_the_crop_at_any_resolution(given: int) -> None:
    mask = rectangle(given, given)
    read = ConnectedMask(mask, 1, SOURCE, 64).in_crop(0, CROP)
    assert read.shape == (1, 1, 64, 64)
    assert read.mean().item() == pytest.approx(0.25, abs=0.05)
    places = ((torch.arange(64) + 0.5) / 64 * given).long()
    allowed = mask[..., places[:, None], places] > 0
    assert not (read > 0)[~allowed].any(), "nothing beside the given mask"


def test_a_mask_of_the_crops_size_is_taken_as_it_is() -> None:
    mask = torch.rand(1, 1, 64, 64)
    assert torch.equal(ConnectedMask(mask, 1, SOURCE, 64).in_crop(0, CROP), mask)


def test_masks_of_the_whole_picture_are_read_through_the_crop() -> None:
    mask = torch.zeros(1, 1, 200, 300)
    mask[..., 80:120, 80:120] = 1
    connected = ConnectedMask(mask, 1, SOURCE, 64)
    assert connected.whole
    read = connected.in_crop(0, CROP)
    expected = torch.zeros(1, 1, 64, 64)
    expected[..., 16:48, :32] = 1
    assert (read - expected).abs().mean() < 0.02


def test_beyond_the_picture_a_mask_is_empty() -> None:
    connected = ConnectedMask(torch.ones(1, 1, 200, 300), 1, SOURCE, 64)
    read = connected.in_crop(0, Crop((0, 100), 80, SOURCE))
    assert not read[..., :30].any()
    assert read[..., 34:].all()


@pytest.mark.parametrize(
    ("mask_size", "source", "whole"),
    [
        (400, (400, 400), True),
        (512, (512, 512), False),
        (64, (64, 64), False),
        (128, (400, 400), False),
    ],
)
def test_square_pictures(mask_size: int, source: tuple[int, int], whole: bool) -> None:
    connected = ConnectedMask(torch.ones(1, 1, mask_size, mask_size), 1, source, 64)
    assert connected.whole is whole


def test_a_mask_for_each_frame() -> None:
    masks = torch.stack([torch.full((1, 64, 64), share) for share in (0.25, 0.5, 1.0)])
    connected = ConnectedMask(masks, 3, SOURCE, 64)
    assert [connected.in_crop(number, CROP).mean().item() for number in range(3)] == [0.25, 0.5, 1]
    shared = ConnectedMask(masks[:1], 3, SOURCE, 64)
    assert shared.in_crop(2, CROP).mean() == 0.25
    with pytest.raises(ImageError, match="3 masks for 2 pictures; connect one, or one for each"):
        ConnectedMask(masks, 2, SOURCE, 64)


def test_masks_of_another_shape() -> None:
    with pytest.raises(ImageError, match=r"30 x 20; it must be square \(the crop\) or 300 x 200"):
        ConnectedMask(torch.ones(1, 1, 20, 30), 1, SOURCE, 64)
    with pytest.raises(ImageError, match=r"30 x 20; it must be square \(the crop\)\.$"):
        ConnectedMask(torch.ones(1, 1, 20, 30), 1, None, 64)


def test_empty_masks_are_refused() -> None:
    masks = torch.zeros(2, 1, 64, 64)
    masks[1, 0, 5, 5] = 0.4
    connected = ConnectedMask(masks, 2, SOURCE, 64)
    connected.check_touches({0: CROP, 1: CROP})
    connected.check_touches({})
    for crops, above in (({0: CROP}, 0.0), ({0: None}, 0.0), ({0: CROP, 1: CROP}, 0.5)):
        with pytest.raises(ImageError, match=r"empty where the face is.*disconnect the mask"):
            connected.check_touches(crops, above)
