"""Glasses and covered faces on rendered heads, whose answers are exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from magicface_training.synthetic import HeadModel, sample_frame, sample_identity
from magicface_training.synthetic.picture.render import render

from magicface_core.perception import Face, Perception
from magicface_core.perception.placing import crop_for_face
from magicface_core.pictures.images import to_tensor
from magicface_core.preflight.covering import covered_region, rim_contrast

WITHOUT, WITH_GLASSES, LONG_HAIR = 10_001, 10_003, 10_112
SIZE = 512


@pytest.fixture(scope="module")
def heads() -> HeadModel:
    return HeadModel.load()


def cropped(heads: HeadModel, seed: int, perception: Perception) -> tuple[torch.Tensor, Face]:
    """A rendered head's 512 crop and its face in it."""
    frame = sample_frame(np.random.default_rng([5, seed]), pose=10)
    frame = replace(frame, light=sample_frame(np.random.default_rng([5, 0])).light)
    identity = sample_identity(heads, seed)
    picture = to_tensor(render(heads, identity, frame, size=384).image)
    (face,) = perception.faces(picture)
    crop = crop_for_face(face, (384, 384))
    return crop.extract(picture, SIZE), face.mapped(crop, SIZE)


def test_rims_of_glasses(heads: HeadModel, perception: Perception) -> None:
    assert rim_contrast(*cropped(heads, WITH_GLASSES, perception)) > 0.3
    assert rim_contrast(*cropped(heads, WITHOUT, perception)) < 0.1


def test_the_astronaut_wears_none(portrait: torch.Tensor, crop, face: Face) -> None:
    assert rim_contrast(portrait, face.mapped(crop, SIZE)) < 0.1


def test_hair_over_the_face(heads: HeadModel, perception: Perception) -> None:
    hidden, oval = covered_region(*cropped(heads, LONG_HAIR, perception), perception)
    assert hidden.shape == oval.shape == (1, 1, SIZE, SIZE)
    assert not (hidden & ~oval).any()
    assert float(hidden.sum() / oval.sum()) > 0.04
    free, oval = covered_region(*cropped(heads, WITHOUT, perception), perception)
    assert float(free.sum() / oval.sum()) < 0.04


def test_a_mask_is_found_where_it_is(
    portrait: torch.Tensor, crop, face: Face, perception: Perception
) -> None:
    inside = face.mapped(crop, SIZE)
    top = int(inside.points5[2:, 1].mean())
    masked = portrait.clone()
    masked[..., top:, :] = torch.tensor([0.4, 0.6, 0.8]).view(1, 3, 1, 1)
    before, _ = covered_region(portrait, inside, perception)
    after, oval = covered_region(masked, inside, perception)
    gained = (after & ~before).float().mean((0, 1, 3))
    assert float(gained[top:].sum()) > 0.9 * float(gained.sum()) > 0
    assert float(after.sum() / oval.sum()) > 0.1
