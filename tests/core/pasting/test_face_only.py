"""The paste restricted to the face."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.framing.background import region_mask
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.pasting.face_only import face_only_mask
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image


@pytest.fixture(scope="module")
def prepared(perception: Perception, astronaut: Path) -> Prepared:
    return prepare(load_image(astronaut), perception, Framing(region="person", resolution=256))


@pytest.fixture(scope="module")
def face(perception: Perception, prepared: Prepared) -> Tensor:
    return region_mask(prepared.crop512, prepared.face, "face", perception)


def test_the_face_and_room_for_a_soft_edge(
    perception: Perception, prepared: Prepared, face: Tensor
) -> None:
    mask = face_only_mask(prepared, prepared.model_input, perception)
    assert mask.shape == (1, 1, 512, 512)
    assert not (mask > prepared.background.mask).any()
    within = face * prepared.background.mask
    assert torch.equal(mask * within, within)
    near = F.max_pool2d(face, 61, 1, 30)
    assert not (mask > near).any(), "no hair, no shoulders"
    assert face.mean() < mask.mean() < 0.7 * prepared.background.mask.mean()


def test_a_jaw_that_drops_takes_the_mask_along(
    perception: Perception, prepared: Prepared, face: Tensor
) -> None:
    """The lower half of the face drawn longer by a seventh of it."""
    nose = int(prepared.face.points5[2, 1])
    lower = prepared.crop512[..., nose:, :]
    longer = F.interpolate(lower, scale_factor=(8 / 7, 1), mode="bilinear")
    dropped = torch.cat([prepared.crop512[..., :nose, :], longer], 2)[..., :512, :]
    mask = face_only_mask(prepared, dropped, perception)
    still = face_only_mask(prepared, prepared.crop512, perception)
    within = face * prepared.background.mask
    assert torch.equal(mask * within, within)
    assert _bottom(mask) > _bottom(still) + 8


def test_an_edit_without_a_face_is_pasted_where_the_face_was(
    perception: Perception, prepared: Prepared
) -> None:
    mask = face_only_mask(prepared, torch.zeros(1, 3, 64, 64), perception)
    assert 0.1 < mask.mean() < 0.4


def _bottom(mask: Tensor) -> int:
    return int(mask[0, 0].any(1).nonzero().max())
