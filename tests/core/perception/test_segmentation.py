"""Person mask, face mask, and the background + pose pictures made of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from magicface_core.framing.background import background_pose
from magicface_core.perception import Face, Perception
from magicface_core.perception.morphology import connected_to, fill_holes
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.resampling import resample


@pytest.fixture(scope="module")
def mask(perception: Perception, portrait: torch.Tensor, face_in_portrait: Face) -> torch.Tensor:
    return perception.face_mask(portrait, face_in_portrait)


def at(mask: torch.Tensor, x: float, y: float) -> float:
    return float(mask[0, 0, int(y), int(x)])


def test_person_mask_tells_person_from_background(
    perception: Perception, portrait: torch.Tensor
) -> None:
    mask = perception.person_mask(portrait)
    assert mask.shape == (1, 1, 512, 512)
    assert 0 <= float(mask.min()) <= float(mask.max()) <= 1
    for x, y in ((250, 250), (250, 60), (250, 480), (110, 150)):  # face, hair, suit, hair
        assert at(mask, x, y) > 0.9
    for x, y in ((20, 20), (490, 60), (490, 400)):
        assert at(mask, x, y) < 0.1


def test_face_mask_holds_the_face_and_leaves_the_rest(
    mask: torch.Tensor, face_in_portrait: Face
) -> None:
    assert set(mask.unique().tolist()) == {0, 1}
    for x, y in face_in_portrait.points5:
        assert at(mask, x, y) == 1
    for x, y in ((250, 30), (110, 150), (130, 285), (250, 425), (250, 480), (430, 200)):
        assert at(mask, x, y) == 0  # hair, hair, ear, neck, suit, hair
    assert 0.12 < float(mask.mean()) < 0.3


def test_a_fringe_is_not_forehead(mask: torch.Tensor) -> None:
    assert float(mask[0, 0, 100:150, 200:360].mean()) < 0.1


def test_a_face_cut_above_the_brows_has_a_mask(
    perception: Perception, portrait: torch.Tensor, face_in_portrait: Face
) -> None:
    """No pixel of its forehead is there to compare."""
    top = int(face_in_portrait.points5[:2, 1].max()) - 8
    moved = face_in_portrait.mapped(Crop((256.0, top + 256.0), 512.0, (512, 512)), 512)
    mask = perception.face_mask(portrait[..., top:, :], moved)
    assert 0.05 < float(mask.mean()) < 0.4


def test_face_mask_is_one_piece_without_holes(mask: torch.Tensor, face_in_portrait: Face) -> None:
    inside = mask > 0
    seed = torch.zeros_like(inside)
    x, y = face_in_portrait.points5[2].astype(int)
    seed[..., y, x] = True
    assert torch.equal(connected_to(seed, inside), inside)
    assert torch.equal(fill_holes(inside), inside)


def test_face_mask_of_a_large_picture(
    perception: Perception, photo: torch.Tensor, face: Face
) -> None:
    small = perception.face_mask(photo, face)
    matrix = np.array([[0.25, 0, 0], [0, 0.25, 0]])
    large = resample(photo, matrix, (2048, 2048))
    found = perception.face_mask(large, face.mapped(Crop((256, 256), 512, (512, 512)), 2048))
    assert found.shape == (1, 1, 2048, 2048)
    both = torch.nn.functional.avg_pool2d(found, 4) > 0.5
    shared = (both & (small > 0)).sum() / (both | (small > 0)).sum()
    assert float(shared) > 0.85


def test_black_and_white_pictures_do_not_break(
    perception: Perception, face_in_portrait: Face
) -> None:
    for level in (0.0, 1.0):
        flat = torch.full((1, 3, 512, 512), level)
        found = perception.face_mask(flat, face_in_portrait)
        assert at(found, *face_in_portrait.points5[2]) == 1


@pytest.mark.parametrize("region", ["face", "person"])
def test_background_pose_of_a_photograph(
    perception: Perception, portrait: torch.Tensor, face_in_portrait: Face, region: str
) -> None:
    result = background_pose(portrait, face_in_portrait, region, perception)  # type: ignore[arg-type]
    black = (result.mask > 0).expand_as(portrait)
    dots = result.picture != torch.where(black, torch.zeros_like(portrait), portrait)
    assert 100 < int(dots.any(1).sum()) < 5000
    for x, y in face_in_portrait.jaw:
        near = result.picture[0, :, int(y) - 3 : int(y) + 3, int(x) - 3 : int(x) + 3]
        assert float(near[0].max()) > 0.8
    kept = portrait[0, :, 30, 250] if region == "face" else torch.zeros(3)
    assert torch.equal(result.picture[0, :, 30, 250], kept)  # hair
