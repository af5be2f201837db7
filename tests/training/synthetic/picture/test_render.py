from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from magicface_training.synthetic import (
    FaceClass,
    Frame,
    HeadModel,
    Identity,
    Rendering,
    edit_set_rng,
    exact_edit,
    sample_edit_set,
    sample_identity,
)
from magicface_training.synthetic.picture.render import render
from PIL import Image

from magicface_core.aus import AU_ORDER

THUMBNAILS = Path(__file__).with_name("thumbnails.png")
THUMBNAIL_SEEDS = (0, 10_000, 20_000, 20_007)


def grown(mask: np.ndarray, steps: int) -> np.ndarray:
    """A mask widened by ``steps`` pixels in all eight directions."""
    for _ in range(steps):
        padded = np.pad(mask, 1)
        height, width = mask.shape
        mask = np.any(
            [padded[y : y + height, x : x + width] for y in range(3) for x in range(3)], axis=0
        )
    return mask


def at(mask: np.ndarray, point: np.ndarray) -> bool:
    return bool(mask[int(point[1]), int(point[0])])


def expression(**units: float) -> np.ndarray:
    au = np.zeros(12, np.float32)
    for name, intensity in units.items():
        au[AU_ORDER.index(int(name[2:]))] = intensity
    return au


def test_shapes_types_and_ranges(renderings: list[Rendering]) -> None:
    for drawn in renderings:
        assert drawn.image.shape == (128, 128, 3)
        assert drawn.image.dtype == np.uint8
        assert drawn.image.std() > 15
        assert drawn.au.shape == (12,)
        assert drawn.pose.shape == (3,)
        assert drawn.jaw.shape == (17, 2)
        assert drawn.points5.shape == (5, 2)
        assert drawn.jaw.dtype == drawn.points5.dtype == np.float32
        assert drawn.classes.shape == drawn.face_mask.shape == (128, 128)
        assert drawn.classes.dtype == np.uint8
        assert drawn.face_mask.dtype == bool
        assert drawn.classes.max() < len(FaceClass)


def test_every_face_shows_its_parts(renderings: list[Rendering]) -> None:
    always = {
        FaceClass.BACKGROUND,
        FaceClass.SKIN,
        FaceClass.EYE,
        FaceClass.LIP,
        FaceClass.NECK,
        FaceClass.CLOTH,
    }
    for drawn in renderings:
        assert always <= set(np.unique(drawn.classes).tolist())
        assert 0.12 < drawn.face_mask.mean() < 0.5


def test_face_mask_holds_the_face_and_edit_mask_adds_glasses(
    renderings: list[Rendering],
) -> None:
    for drawn in renderings:
        for number in (FaceClass.SKIN, FaceClass.EYE, FaceClass.LIP):
            assert drawn.face_mask[drawn.classes == number].all()
        for number in (FaceClass.HAIR, FaceClass.NECK, FaceClass.EAR, FaceClass.GLASSES):
            assert not drawn.face_mask[drawn.classes == number].any()
        added = drawn.edit_mask & ~drawn.face_mask
        assert np.array_equal(added, drawn.classes == FaceClass.GLASSES)


def test_points_lie_on_what_they_name(renderings: list[Rendering]) -> None:
    for drawn in renderings:
        first_eye, second_eye, nose, first_corner, second_corner = drawn.points5
        eyes = grown(drawn.classes == FaceClass.EYE, 2)
        assert at(eyes, first_eye)
        assert at(eyes, second_eye)
        assert at(drawn.edit_mask, nose)
        lips = grown(drawn.classes == FaceClass.LIP, 3)
        assert at(lips, first_corner)
        assert at(lips, second_corner)
        assert first_eye[0] < nose[0] < second_eye[0]
        assert first_eye[1] < nose[1] < first_corner[1]


def test_jaw_follows_the_border_of_the_face_mask(renderings: list[Rendering]) -> None:
    for drawn in renderings:
        assert (np.diff(drawn.jaw[:, 0]) > 0).all()
        border = grown(drawn.face_mask, 1) & ~drawn.face_mask
        pixels = np.argwhere(border)[:, ::-1] + 0.5
        distance = np.linalg.norm(drawn.jaw[:, None] - pixels[None], axis=2).min(1)
        assert np.median(distance) < 2
        assert distance[5:12].max() < 4


def test_far_jaw_points_slide_to_the_silhouette(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    turned = replace(frontal, pose=np.float32((22, 0, 0)))
    drawn = render(model, identities[0], turned, 128)
    border = grown(drawn.face_mask, 1) & ~drawn.face_mask
    pixels = np.argwhere(border)[:, ::-1] + 0.5
    far_side = drawn.jaw[11:15]
    distance = np.linalg.norm(far_side[:, None] - pixels[None], axis=2).min(1)
    assert distance.max() < 5


def test_lips_closed_at_rest_open_with_au25(
    model: HeadModel, identities: list[Identity], frontal: Frame, renderings: list[Rendering]
) -> None:
    for identity, resting in zip(identities, renderings, strict=True):
        parted = render(model, identity, exact_edit(frontal, expression(AU25=5)), 128)
        shares = []
        for drawn in (resting, parted):
            mouth = (drawn.classes == FaceClass.MOUTH).sum()
            shares.append(mouth / (mouth + (drawn.classes == FaceClass.LIP).sum()))
        assert shares[0] < 0.06
        assert shares[1] > shares[0] + 0.1


def test_exact_answer_changes_only_what_the_units_change(
    model: HeadModel, identities: list[Identity], frontal: Frame, renderings: list[Rendering]
) -> None:
    edited = exact_edit(frontal, expression(AU1=4, AU12=5, AU25=3))
    for identity, source in zip(identities, renderings, strict=True):
        target = render(model, identity, edited, 128)
        backgrounds = [drawn.classes == FaceClass.BACKGROUND for drawn in (source, target)]
        outside = ~grown(~(backgrounds[0] & backgrounds[1]), 1)
        assert outside.mean() > 0.1
        assert np.array_equal(source.image[outside], target.image[outside])
        change = np.abs(source.image.astype(int) - target.image).max(2) > 16
        face = grown(source.edit_mask | target.edit_mask, 1)
        assert change.sum() > 100
        assert (change & face).sum() > 0.9 * change.sum()
        assert np.abs(source.points5[3:] - target.points5[3:]).max() > 1
        assert np.allclose(source.points5[:2], target.points5[:2], atol=0.2)


def test_zero_edit_is_the_same_picture(
    model: HeadModel, identities: list[Identity], frontal: Frame, renderings: list[Rendering]
) -> None:
    again = render(model, identities[1], exact_edit(frontal, frontal.au), 128)
    assert np.array_equal(again.image, renderings[1].image)


def test_labels_scale_with_the_picture(
    model: HeadModel, identities: list[Identity], frontal: Frame, renderings: list[Rendering]
) -> None:
    small = render(model, identities[0], frontal, 64)
    assert np.allclose(small.jaw * 2, renderings[0].jaw, atol=0.01)
    assert np.allclose(small.points5 * 2, renderings[0].points5, atol=0.01)
    large_mask = renderings[0].face_mask.reshape(64, 2, 64, 2).mean((1, 3)) > 0.5
    assert (large_mask != small.face_mask).mean() < 0.03


def test_rendering_works_and_agrees_without_numba(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    frame = exact_edit(frontal, expression(AU12=4, AU25=4))
    usual = render(model, identities[0], frame, 48)
    plain = render(model, identities[0], frame, 48, backend="torch")
    difference = np.abs(usual.image.astype(int) - plain.image)
    assert difference.mean() < 0.05
    assert (difference.max(2) > 8).mean() < 0.005
    assert (usual.classes != plain.classes).mean() < 0.005
    assert np.array_equal(usual.jaw, plain.jaw)


def draw_thumbnails(model: HeadModel) -> np.ndarray:
    """The last frame of four edit sets, 32 pixels each, side by side."""
    pictures = []
    for seed in THUMBNAIL_SEEDS:
        frame = sample_edit_set(edit_set_rng(seed), scenes=1, k=4)[0][-1]
        pictures.append(render(model, sample_identity(model, seed), frame, 32).image)
    return np.concatenate(pictures, axis=1)


def test_pictures_of_known_seeds_have_not_changed(model: HeadModel) -> None:
    """Shipped weights were trained on these pictures: a seed must go on meaning the same one."""
    stored = np.asarray(Image.open(THUMBNAILS).convert("RGB")).astype(int)
    difference = np.abs(draw_thumbnails(model) - stored)
    assert difference.mean() < 0.5
    assert (difference.max(2) > 12).mean() < 0.01


@pytest.mark.parametrize("blink", [0.0, 1.0])
def test_blink_closes_the_eyes(
    model: HeadModel, identities: list[Identity], frontal: Frame, blink: float
) -> None:
    drawn = render(model, identities[0], replace(frontal, blink=blink), 96)
    share = (drawn.classes == FaceClass.EYE).mean()
    assert (share < 0.002) if blink else (share > 0.002)
