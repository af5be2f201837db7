"""From a picture to the model's inputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.errors import FaceTooSmallError, ImageError, NoFaceError
from magicface_core.framing.framing import Framing, find_face, single_picture
from magicface_core.framing.preparation import prepare
from magicface_core.network.info import CheckpointInfo
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image
from magicface_core.pictures.resampling import WORKING_SIZE, enlarge_to, reduce_to


@pytest.fixture(scope="module")
def perception() -> Perception:
    return Perception.load()


def test_prepared_parts_fit_together(astronaut: Path, perception: Perception) -> None:
    prepared = prepare(load_image(astronaut), perception, Framing(resolution=128))
    assert prepared.source.shape == (1, 3, 512, 512)
    assert prepared.crop512.shape == (1, 3, WORKING_SIZE, WORKING_SIZE)
    assert prepared.model_input.shape == prepared.condition.shape == (1, 3, 128, 128)
    assert torch.equal(prepared.crop512, prepared.crop.extract(prepared.source, WORKING_SIZE))
    blackened = prepared.background.mask.bool().expand(-1, 3, -1, -1)
    kept = ~blackened & (prepared.background.picture == prepared.crop512)
    assert kept.sum() > 0.99 * (~blackened).sum(), "outside the region only jaw dots differ"
    assert (prepared.background.picture[blackened] == 0).float().mean() > 0.95


def test_face_fills_the_asked_share_of_the_crop(astronaut: Path, perception: Perception) -> None:
    for share in (0.4583, 0.55):
        prepared = prepare(load_image(astronaut), perception, Framing(face_fraction=share))
        assert prepared.face.width / WORKING_SIZE == pytest.approx(share, rel=0.05)


def test_region_decides_what_is_blackened(astronaut: Path, perception: Perception) -> None:
    image = load_image(astronaut)
    face, person = (
        prepare(image, perception, Framing(region=region)).background.mask.mean().item()
        for region in ("face", "person")
    )
    assert 0.05 < face < person < 0.95


def test_checkpoints_may_grow_the_mask(astronaut: Path, perception: Perception) -> None:
    image = load_image(astronaut)
    plain = prepare(image, perception, Framing())
    grown = prepare(image, perception, Framing(mask_dilation=0.02, chin_extension=0.1))
    before, after = plain.background.mask, grown.background.mask
    assert (after >= before).all()

    def rows(mask: torch.Tensor) -> torch.Tensor:
        return mask.amax(dim=(0, 1, 3)).nonzero()

    above = int(rows(before).min() - rows(after).min())
    below = int(rows(after).max() - rows(before).max())
    assert above == pytest.approx(0.02 * 512, abs=2)
    assert below == pytest.approx(0.12 * 512, abs=6)
    ring = (after > before).expand(-1, 3, -1, -1)
    assert (grown.background.picture[ring] == 0).float().mean() > 0.9


def test_crop_offset_moves_the_crop(perception: Perception, astronaut: Path) -> None:
    image = load_image(astronaut)
    plain = prepare(image, perception, Framing(face_fraction=0.6)).crop
    moved = prepare(image, perception, Framing(face_fraction=0.6, crop_offset=(0.1, 0.05))).crop
    assert moved.center[0] - plain.center[0] == pytest.approx(0.1 * plain.side)
    assert moved.center[1] - plain.center[1] == pytest.approx(0.05 * plain.side)


def test_framing_of_a_checkpoint() -> None:
    info = CheckpointInfo(
        resolution=128,
        region="face",
        face_fraction=0.55,
        crop_offset=(0.01, 0.02),
        mask_dilation=0.03,
        chin_extension=0.04,
    )
    assert Framing.of(info) == Framing("face", 0.55, (0.01, 0.02), 0.03, 0.04, 128)
    assert Framing.of(info, "person").region == "person"


def test_colour_profile_comes_along(astronaut: Path, perception: Perception) -> None:
    image = load_image(astronaut)
    assert prepare(image, perception).profile is None
    image.info["icc_profile"] = b"profile"
    assert prepare(image, perception).profile == b"profile"


def test_faces_are_numbered_from_the_largest(astronaut: Path, perception: Perception) -> None:
    portrait = Image.open(astronaut).convert("RGB")
    canvas = Image.new("RGB", (900, 512), (90, 100, 110))
    canvas.paste(portrait.resize((380, 380)), (0, 60))
    canvas.paste(portrait, (388, 0))
    source = single_picture(canvas)
    (first, count), (second, _) = (find_face(perception, source, index) for index in (0, 1))
    assert count == 2
    assert first.width > second.width
    assert first.mesh[:, 0].mean() > second.mesh[:, 0].mean()
    with pytest.raises(NoFaceError, match="no face number 2: 2 found, numbered 0 to 1"):
        find_face(perception, source, 2)
    with pytest.raises(NoFaceError, match="no face number -1"):
        find_face(perception, source, -1)


def test_no_face(perception: Perception) -> None:
    with pytest.raises(NoFaceError, match="No face found in the 200 x 100 picture"):
        prepare(np.zeros((100, 200, 3), np.uint8), perception)


def test_small_face(astronaut: Path, perception: Perception) -> None:
    small = load_image(astronaut).resize((180, 180))
    with pytest.raises(FaceTooSmallError, match=r"Face 0 is \d\d pixels wide; at least 64"):
        prepare(small, perception)


def test_one_picture_at_a_time() -> None:
    with pytest.raises(ImageError, match="batch of 2"):
        single_picture(torch.zeros(2, 32, 32, 3))


def test_sizes_change_by_area_and_back() -> None:
    picture = torch.rand(1, 3, 64, 64)
    assert reduce_to(picture, 64) is picture
    assert enlarge_to(picture, 64) is picture
    reduced = reduce_to(picture, 16)
    expected = picture.unflatten(3, (16, 4)).unflatten(2, (16, 4)).mean(dim=(3, 5))
    assert torch.allclose(reduced, expected, atol=1e-6)
    assert enlarge_to(reduced, 64).shape == picture.shape
