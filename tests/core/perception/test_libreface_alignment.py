"""LibreFace's aligned face: the published pixels, and what no published code survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.errors import ImageError
from magicface_core.perception import Face
from magicface_core.perception.libreface_alignment import (
    EYE_RINGS,
    LIPS,
    align_face,
    alignment_points,
    face_square,
    faded,
)
from magicface_core.pictures.images import to_tensor

GOLDEN = Path(__file__).parents[2] / "golden" / "preparation"


def picture(name: str) -> Image.Image:
    with Image.open(GOLDEN / f"{name}.webp") as image:
        return image.convert("RGB")


def points(center: tuple[float, float], eyes: float, turn: float = 0.0) -> np.ndarray:
    """Alignment points of a face whose eyes, and eyes and mouth, are `eyes` pixels apart."""
    flat = np.zeros((72, 2))
    flat[:16, 0], flat[16:32, 0] = eyes / 2, -eyes / 2
    flat[32:] = np.stack([np.linspace(-eyes / 3, eyes / 3, 40), np.full(40, eyes)], 1)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    placed: np.ndarray = flat @ rotation.T + center
    return placed


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_aligned_faces_are_the_published_ones(index: int) -> None:
    """Upright, turned, at the border, reaching far out of the picture: every pixel is equal."""
    image = picture(f"align.{index}.image")
    with np.load(GOLDEN / "libreface.npz") as golden:
        landmarks = golden[f"align.{index}.landmarks"] * image.size
    aligned = align_face(to_tensor(image), landmarks)
    np.testing.assert_array_equal(np.asarray(aligned), np.asarray(picture(f"align.{index}.result")))


def test_points_are_the_published_ones_of_the_mesh(face: Face) -> None:
    chosen = alignment_points(face.mesh)
    assert chosen.shape == (72, 2)
    right_eye, left_eye = chosen[:16].mean(0), chosen[16:32].mean(0)
    np.testing.assert_allclose(right_eye, face.points5[1], atol=0.06 * face.width)
    np.testing.assert_allclose(left_eye, face.points5[0], atol=0.06 * face.width)
    # Rings are closed shapes of their own and lie apart; the lips' corners are those of the mouth.
    assert not set(EYE_RINGS[0]) & set(EYE_RINGS[1])
    assert all(len(set(ring)) == len(ring) for ring in (*EYE_RINGS, LIPS))
    assert {61, 291} <= set(LIPS)


def test_a_face_lies_upright_in_the_middle(photo: torch.Tensor, face: Face) -> None:
    aligned = align_face(photo, alignment_points(face.mesh))
    assert (aligned.size, aligned.mode) == ((512, 512), "RGB")
    square = face_square(alignment_points(face.mesh))
    eyes = face.points5[:2].mean(0)
    share = (eyes - square.corners.min(0)) / np.ptp(square.corners, axis=0)
    assert share[0] == pytest.approx(0.5, abs=0.1)
    assert 0.3 < share[1] < 0.5


@pytest.mark.parametrize("turn", [-0.7, 0.3, 0.6])
def test_the_square_turns_with_the_face(turn: float) -> None:
    upright, turned = (face_square(points((300, 200), 40, angle)) for angle in (0.0, turn))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    expected = (upright.corners - (300, 200)) @ rotation.T + (300, 200)
    np.testing.assert_allclose(turned.corners, expected, atol=1e-9)
    assert turned.side == pytest.approx(upright.side)
    np.testing.assert_allclose(upright.corners[0], (220, 124))  # upper left


@pytest.mark.parametrize("side", [1024, 3000])
def test_large_faces_are_reduced(side: int) -> None:
    """LibreFace itself stops here: it asks Pillow for a filter that is gone."""
    small = to_tensor(picture("align.3.image"))
    place = points((150, 140), 300 / 4)
    large = torch.nn.functional.interpolate(small, scale_factor=side / 300, mode="bilinear")
    reduced = align_face(large, place * side / 300)
    assert reduced.size == (512, 512)
    difference = np.asarray(reduced).astype(int) - np.asarray(align_face(small, place))
    assert np.abs(difference).mean() < 20  # the picture is noise, of few grey levels in common
    unrelated = np.asarray(reduced)[::-1].astype(int) - np.asarray(align_face(small, place))
    assert np.abs(difference).mean() < 0.4 * np.abs(unrelated).mean()


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2000, 3), (40, 4000)])
def test_odd_pictures(width: int, height: int) -> None:
    aligned = align_face(torch.full((1, 3, height, width), 0.5), points((0, 0), 20))
    assert aligned.size == (512, 512)


@pytest.mark.parametrize("place", [(-500, 50), (50, 900), (900, 900)])
def test_faces_elsewhere(place: tuple[float, float]) -> None:
    with pytest.raises(ImageError, match="lies outside the picture"):
        align_face(torch.zeros(1, 3, 100, 100), points(place, 20))


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "no face to read"), (0.5, "no face to read"), (np.nan, "NaN"), (np.inf, "infinite")],
)
def test_what_is_no_face(size: float, text: str) -> None:
    with pytest.raises(ImageError, match=text):
        align_face(torch.zeros(1, 3, 100, 100), points((50, 50), 1) * size)


def test_pictures_with_nan() -> None:
    with pytest.raises(ImageError, match="NaN"):
        align_face(torch.full((1, 3, 100, 100), torch.nan), points((50, 50), 20))


def test_margins_fade_to_the_median_colour() -> None:
    grown = faded(np.full((60, 80, 3), 200, np.uint8), (30, 30, 30, 30), 3.0)
    assert grown.shape == (120, 140, 3)
    assert np.abs(grown[60, 70].astype(int) - 200).max() == 0
    assert np.ptp(grown[0], axis=0).max() == 0  # the outermost line is the median alone


def test_the_blur_is_scipys() -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    from magicface_core.perception.libreface_alignment import _gaussian

    generator = np.random.default_rng(0)
    for shape, sigma in (((40, 30, 3), 3.0), ((7, 50, 3), 9.9), ((200, 130, 3), 18.8)):
        values = generator.uniform(0, 255, shape).astype(np.float32)
        for axis in (0, 1):
            expected = ndimage.gaussian_filter1d(values, sigma, axis)
            np.testing.assert_allclose(_gaussian(values, sigma, axis), expected, rtol=1e-6)
