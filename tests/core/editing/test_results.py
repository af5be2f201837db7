"""Composition of the model's picture with its source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magicface_core.aus import AUDelta
from magicface_core.editing.results import pasted, unchanged
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image, to_uint8

SMILE = AUDelta(AU12=4)


@pytest.fixture(scope="module")
def prepared(astronaut: Path) -> Prepared:
    image = load_image(astronaut)
    image.info["icc_profile"] = b"profile"
    return prepare(image, Perception.load(), Framing(resolution=64))


def test_unchanged_is_the_source(prepared: Prepared) -> None:
    result = unchanged(prepared, AUDelta(), 1.5)
    assert np.array_equal(result.image, to_uint8(prepared.source))
    assert np.array_equal(result.crop, to_uint8(prepared.crop512))
    assert not np.asarray(result.mask).any()
    assert (result.delta, result.seconds) == (AUDelta(), 1.5)


def test_outside_the_mask_no_bit_changes(prepared: Prepared) -> None:
    green = torch.zeros(1, 3, 64, 64)
    green[:, 1] = 1
    result = pasted(prepared, green, SMILE)
    source, edited, mask = (
        np.asarray(picture) for picture in (to_uint8(prepared.source), result.image, result.mask)
    )
    assert result.image.size == result.mask.size == (512, 512)
    assert result.crop.size == (512, 512)
    assert result.mask.mode == "L"
    assert np.array_equal(edited[mask == 0], source[mask == 0])
    assert (edited[mask == 255] == (0, 255, 0)).all()
    assert 0.005 < (mask == 255).mean() < 0.2


def test_detail_is_kept_where_the_edit_changes_nothing(prepared: Prepared) -> None:
    same = pasted(prepared, prepared.crop512.clone(), SMILE)
    assert np.array_equal(same.image, to_uint8(prepared.source))
    small = np.asarray(pasted(prepared, prepared.model_input, SMILE).image).astype(int)
    assert np.abs(small - to_uint8(prepared.source)).max() <= 1, "as if it had been scaled"


def test_a_shift_of_tone_is_taken_back(prepared: Prepared) -> None:
    source = np.asarray(to_uint8(prepared.source)).astype(int)
    toned = (prepared.crop512 * 0.9 + 0.06).clamp(0, 1)
    result = pasted(prepared, toned, SMILE)
    inside = np.asarray(result.mask) == 255
    assert np.abs(np.asarray(result.image).astype(int) - source)[inside].mean() < 1
    assert float((toned - prepared.crop512).abs().mean()) > 4 / 255, "there was a shift"


def test_a_mask_of_its_own_says_where_to_paste(prepared: Prepared) -> None:
    mask = prepared.background.mask.clone()
    mask[..., :256, :] = 0
    result = pasted(prepared, 1 - prepared.model_input, SMILE, mask=mask)
    whole = pasted(prepared, 1 - prepared.model_input, SMILE)
    inside, before = np.asarray(result.mask) > 0, np.asarray(whole.mask) > 0
    assert 0.2 < inside.sum() / before.sum() < 0.8
    assert not (inside & ~before).any()


def test_colour_profile_is_kept(prepared: Prepared) -> None:
    for result in (
        unchanged(prepared, AUDelta()),
        pasted(prepared, prepared.model_input, SMILE),
    ):
        assert result.image.info["icc_profile"] == b"profile"
        assert result.crop.info["icc_profile"] == b"profile"
