"""Paste-back: nothing outside the mask changes, everything inside fits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magicface_core.errors import ImageError
from magicface_core.pasting.paste import keep_detail, paste_back
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_uint8
from magicface_core.pictures.resampling import resample


def random_picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def disc(size: int, radius: float = 0.35) -> torch.Tensor:
    steps = (torch.arange(size) + 0.5) / size - 0.5
    return ((steps[:, None] ** 2 + steps**2) < radius**2).float()[None, None]


def mask_in_source(mask: torch.Tensor, crop: Crop) -> np.ndarray:
    """[H,W] bool: source pixels whose centre lies on a set pixel of the mask."""
    width, height = crop.source_size
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    size = mask.shape[-1]
    places = crop.to_crop(np.stack([columns.ravel(), rows.ravel()], 1), size)
    index = np.floor(places).astype(int)
    inside = ((index >= 0) & (index < size)).all(1)
    index = index.clip(0, size - 1)
    return (mask[0, 0].numpy()[index[:, 1], index[:, 0]].astype(bool) & inside).reshape(
        height, width
    )


CROPS = {
    "inside": Crop((61.3, 47.8), 50.5, (121, 97)),
    "enlarged": Crop((60.0, 48.0), 20.0, (121, 97)),
    "rotated": Crop((60.0, 45.0), 55.0, (121, 97), angle=0.5),
    "upside down": Crop((60.0, 45.0), 55.0, (121, 97), angle=3.1),
    "over the corner": Crop((5.0, 90.0), 60.0, (121, 97)),
    "larger than the picture": Crop((60.0, 48.0), 200.0, (121, 97)),
}


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("with_reference", [False, True])
def test_outside_the_mask_no_bit_changes(name: str, with_reference: bool) -> None:
    crop = CROPS[name]
    source, edited, mask = random_picture(97, 121), random_picture(64, 64, 1), disc(64)
    before = source.clone()
    reference = random_picture(64, 64, 2) if with_reference else None
    result, weight = paste_back(source, edited, crop, mask, reference=reference)
    outside = torch.from_numpy(~mask_in_source(mask, crop)).expand(1, 3, -1, -1)
    assert torch.equal(result[outside], source[outside])
    assert torch.equal(source, before)
    changed = (to_uint8(result) != to_uint8(source)).any(-1)
    assert changed.any()
    assert not changed[outside[0, 0].numpy()].any()
    assert not weight[0, 0][outside[0, 0]].any()
    assert weight.max() == 1
    assert 0 <= float(result.min()) <= float(result.max()) <= 1


@pytest.mark.parametrize("name", CROPS)
def test_an_edit_equal_to_its_reference_changes_nothing(name: str) -> None:
    source, rendering = random_picture(97, 121), random_picture(64, 64, 1)
    result, weight = paste_back(source, rendering, CROPS[name], disc(64), reference=rendering)
    assert torch.equal(result, source)
    assert weight.max() == 1


def test_a_flat_edit_fills_the_inside_and_fades_at_the_edge() -> None:
    source = torch.full((1, 3, 100, 100), 0.2)
    crop = Crop((50.0, 50.0), 100.0, (100, 100))
    mask = torch.zeros(1, 1, 100, 100)
    mask[..., 20:80, 20:80] = 1
    edited = torch.full((1, 3, 100, 100), 0.8)
    result, weight = paste_back(source, edited, crop, mask, feather=0.08)
    row = result[0, 0, 50]
    assert float(row[50]) == pytest.approx(0.8)
    steps = row[20:29].diff()
    assert (steps >= 0).all()
    assert steps.max() < 0.2
    assert float(row[20]) < 0.35
    assert float(weight[0, 0, 50, 50]) == 1


def test_an_edge_on_the_picture_border_is_not_faded() -> None:
    source = torch.full((1, 3, 80, 80), 0.2)
    crop = Crop((40.0, 60.0), 40.0, (80, 80))
    edited = torch.full((1, 3, 40, 40), 0.8)
    _, weight = paste_back(source, edited, crop, torch.ones(1, 1, 40, 40))
    assert float(weight[0, 0, 79, 40]) == 1  # the crop's lower side is the picture's
    assert float(weight[0, 0, 40, 40]) < 0.5  # its upper side lies within the picture


@pytest.mark.parametrize("angle", [0.0, 0.5, -2.0])
@pytest.mark.parametrize("place", [(4.0, 40.0), (76.0, 40.0), (40.0, 4.0), (40.0, 76.0)])
def test_a_mask_that_ends_with_the_picture_is_not_faded_there(
    place: tuple[float, float], angle: float
) -> None:
    """At all four borders, though nothing was drawn beyond them."""
    source = torch.full((1, 3, 80, 80), 0.2)
    crop = Crop(place, 50.0, (80, 80), angle)
    within = resample(
        torch.ones(1, 1, 80, 80), crop.matrix_to_source(100), (100, 100), padding="zeros"
    )
    _, weight = paste_back(source, torch.full((1, 3, 100, 100), 0.8), crop, (within > 0.5).float())
    column, row = (min(max(int(value), 0), 79) for value in place)
    assert float(weight[0, 0, row, column]) == 1
    edges = {(4.0, 40.0): (40, 0), (76.0, 40.0): (40, 79), (40.0, 4.0): (0, 40)}
    assert float(weight[(0, 0, *edges.get(place, (79, 40)))]) > 0.999


def test_without_a_feather_the_edge_is_hard() -> None:
    source, mask = torch.full((1, 3, 100, 100), 0.2), torch.zeros(1, 1, 100, 100)
    mask[..., 20:80, 20:80] = 1
    crop = Crop((50.0, 50.0), 100.0, (100, 100))
    edited = torch.full((1, 3, 100, 100), 0.8)
    result, weight = paste_back(source, edited, crop, mask, feather=0.0)
    assert torch.equal(weight, mask)
    torch.testing.assert_close(result, torch.where(mask > 0, edited, source))


def test_detail_is_kept_where_the_edit_changed_nothing() -> None:
    source = random_picture(128, 128)
    crop = Crop((64.0, 64.0), 128.0, (128, 128))
    reference = crop.extract(source, 32)
    edited = reference.clone()
    edited[..., :16] = 1 - edited[..., :16]
    result, _ = paste_back(source, edited, crop, torch.ones(1, 1, 32, 32), reference=reference)
    assert (result[..., 90:] - source[..., 90:]).abs().max() < 1e-6
    plain, _ = paste_back(source, edited, crop, torch.ones(1, 1, 32, 32))
    assert (plain[..., 90:] - source[..., 90:]).abs().mean() > 0.1
    left = (slice(None), slice(None), slice(40, 88), slice(20, 44))
    assert (result[left] - plain[left]).abs().mean() < 0.1


def test_a_large_picture_is_pasted_into_place() -> None:
    source = torch.full((1, 3, 2000, 4000), 0.3)
    crop = Crop((3100.0, 700.0), 300.0, (4000, 2000))
    edited = torch.full((1, 3, 64, 64), 0.9)
    result, weight = paste_back(source, edited, crop, disc(64))
    rows, columns = torch.nonzero(weight[0, 0], as_tuple=True)
    assert rows.min() > 590
    assert rows.max() < 810
    assert columns.min() > 2990
    assert columns.max() < 3210
    assert float(result[0, 0, 700, 3100]) == pytest.approx(0.9)


@pytest.mark.parametrize("name", CROPS)
@pytest.mark.parametrize("with_reference", [False, True])
def test_large_faces_are_pasted_in_parts_without_a_seam(
    monkeypatch: pytest.MonkeyPatch, name: str, with_reference: bool
) -> None:
    crop, mask = CROPS[name], disc(64, 0.6)
    source, edited = random_picture(97, 121), random_picture(64, 64, 1)
    reference = random_picture(64, 64, 2) if with_reference else None
    whole, weight = paste_back(source, edited, crop, mask, reference=reference)
    monkeypatch.setattr("magicface_core.pasting.paste.TILE", 16)
    parts, weight_of_parts = paste_back(source, edited, crop, mask, reference=reference)
    assert torch.allclose(whole, parts, atol=1e-5)
    assert torch.allclose(weight, weight_of_parts, atol=1e-5)


def test_an_empty_mask_changes_nothing() -> None:
    source = random_picture(97, 121)
    result, weight = paste_back(
        source, random_picture(64, 64), CROPS["inside"], torch.zeros(1, 1, 64, 64)
    )
    assert torch.equal(result, source)
    assert not weight.any()


def test_a_crop_beside_the_picture_changes_nothing() -> None:
    source = random_picture(40, 60)
    crop = Crop((500.0, 500.0), 50.0, (60, 40))
    result, weight = paste_back(source, random_picture(16, 16), crop, torch.ones(1, 1, 16, 16))
    assert torch.equal(result, source)
    assert not weight.any()


@pytest.mark.parametrize(
    ("source", "edited", "mask", "named"),
    [
        ((1, 3, 60, 40), (1, 3, 16, 16), (1, 1, 16, 16), "source"),
        ((1, 3, 40, 60), (1, 3, 16, 17), (1, 1, 17, 17), "edited crop"),
        ((1, 3, 40, 60), (1, 3, 16, 16), (1, 1, 32, 32), "mask"),
    ],
)
def test_wrong_shapes_are_named(
    source: tuple[int, ...], edited: tuple[int, ...], mask: tuple[int, ...], named: str
) -> None:
    crop = Crop((30.0, 20.0), 20.0, (60, 40))
    with pytest.raises(ImageError, match=named):
        paste_back(torch.zeros(source), torch.zeros(edited), crop, torch.zeros(mask))


def test_keeping_detail_in_the_crop_is_the_same_formula() -> None:
    """As pasting a crop that is the whole picture, without a mask."""
    source, reference = random_picture(64, 64), random_picture(64, 64, 1) * 0.2 + 0.4
    edited = reference.clone()
    edited[..., :24] += 0.05
    whole = Crop((32.0, 32.0), 64.0, (64, 64))
    pasted, _ = paste_back(source, edited, whole, torch.ones(1, 1, 64, 64), reference=reference)
    found = keep_detail(source, edited, reference)
    assert torch.allclose(found, pasted, atol=1e-4)
    assert not torch.allclose(found[..., :20], edited[..., :20], atol=0.01)
    assert torch.equal(keep_detail(source, reference, reference), source)
