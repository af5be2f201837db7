"""The crop square, the published crop, and the similarity fits."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.errors import ImageError
from magicface_core.perception import Face
from magicface_core.perception.placing import (
    OFFICIAL_FACE_FRACTION,
    crop_for_face,
    official_crop,
    official_crop_matrix,
)
from magicface_core.pictures.affine import (
    apply_affine,
    invert_affine,
    least_squares_similarity,
    umeyama_similarity,
)
from magicface_core.pictures.crop import Crop

GOLDEN = Path(__file__).parents[2] / "golden" / "preparation"


def picture(name: str) -> np.ndarray:
    with Image.open(GOLDEN / f"{name}.png") as image:
        return np.asarray(image.convert("RGB"))


def oval_face(center: tuple[float, float], width: float, height: float, roll: float = 0.0) -> Face:
    """A mesh on an ellipse, tilted by `roll` radians, with eyes on its horizontal axis."""
    around = np.linspace(0, 2 * np.pi, 468, endpoint=False)
    flat = np.zeros((478, 2))
    flat[:468] = np.stack([width / 2 * np.cos(around), height / 2 * np.sin(around)], 1)
    flat[33], flat[263] = (-width / 4, 0), (width / 4, 0)
    turned = flat @ Crop((0, 0), 1, (1, 1), roll).rotation.T + center
    mesh = np.column_stack([turned, np.zeros(478)])
    return Face(0.9, np.array([0.0, 0, 1, 1]), np.zeros((6, 2)), mesh, 1.0)


@pytest.mark.parametrize("index", [0, 1, 2])
def test_official_crop_is_the_published_one(index: int) -> None:
    golden = np.load(GOLDEN / "preparation.npz")
    box = golden[f"crop.{index}.box"]
    np.testing.assert_allclose(
        official_crop_matrix(box), golden[f"crop.{index}.matrix"], rtol=0, atol=1e-6
    )
    ours = official_crop(picture("crop.image"), box).astype(int)
    assert np.abs(ours - picture(f"crop.{index}.result")).max() == 0


def test_crop_for_face_re_creates_the_published_framing() -> None:
    face = oval_face((500, 400), width=120, height=160)
    crop = crop_for_face(face, (1000, 800))
    box_width = 1.025 * face.width
    assert crop.side == pytest.approx(box_width * 1.5 * 512 / 352, rel=1e-3)
    assert crop.center == pytest.approx((500, 400 - 0.073 * 160), abs=0.1)
    assert crop.angle == 0
    assert crop_for_face(face, (1000, 800), 0.5).side == pytest.approx(2 * box_width, rel=1e-3)


def test_offset_shifts_the_square_by_shares_of_its_side() -> None:
    face = oval_face((500, 400), 120, 160)
    plain = crop_for_face(face, (1000, 800))
    moved = crop_for_face(face, (1000, 800), offset=(0.0, 0.1))
    assert moved.center[1] - plain.center[1] == pytest.approx(0.1 * plain.side)


def test_square_moves_inside_the_picture() -> None:
    crop = crop_for_face(oval_face((30, 20), 120, 160), (1000, 800))
    assert crop.center == pytest.approx((crop.side / 2, crop.side / 2))
    crop = crop_for_face(oval_face((990, 790), 120, 160), (1000, 800))
    assert crop.center == pytest.approx((1000 - crop.side / 2, 800 - crop.side / 2))


def test_square_larger_than_the_picture_covers_it_and_mirrors() -> None:
    face = oval_face((60, 90), 100, 130)
    crop = crop_for_face(face, (120, 180))
    assert crop.side > 180
    low, high = crop.center[0] - crop.side / 2, crop.center[0] + crop.side / 2
    assert low <= 0
    assert high >= 120
    pixels = crop.extract(torch.full((1, 3, 180, 120), 0.6), 64)
    torch.testing.assert_close(pixels, torch.full_like(pixels, 0.6))


def test_a_strongly_tilted_face_is_cropped_upright() -> None:
    upright = crop_for_face(oval_face((500, 500), 120, 160), (1000, 1000))
    tilted = crop_for_face(oval_face((500, 500), 120, 160, math.pi / 2), (1000, 1000))
    assert tilted.angle == pytest.approx(math.pi / 2)
    assert tilted.side == pytest.approx(upright.side)
    slightly = crop_for_face(oval_face((500, 500), 120, 160, math.radians(15)), (1000, 1000))
    assert slightly.angle == 0


@pytest.mark.parametrize("place", [(20, 150), (380, 150), (200, 20), (200, 280), (30, 270)])
@pytest.mark.parametrize("roll", [35, -50, 90, 150])
def test_a_turned_square_holds_what_a_border_leaves_of_the_face(
    place: tuple[float, float], roll: float
) -> None:
    face = oval_face(place, 120, 160, math.radians(roll))
    crop = crop_for_face(face, (400, 300))
    assert crop.angle == pytest.approx(math.radians(roll))
    points = face.mesh[:, :2]
    visible = points[((points >= 0) & (points <= (400, 300))).all(1)]
    assert len(visible) < len(points)
    places = crop.to_crop(visible, 1)
    assert places.min() > -1e-6
    assert places.max() < 1 + 1e-6
    within = ((visible > 40) & (visible < (360, 260))).all(1)
    assert (abs(places[within] - 0.5) < 0.48).all()


def test_a_turned_square_moves_inside_the_picture() -> None:
    """As an upright one does, where the face leaves it room."""
    crop = crop_for_face(oval_face((170, 300), 120, 160, math.radians(45)), (800, 600))
    corners = crop.to_source(np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), 1)
    assert corners.min() > -1e-6
    assert corners[:, 0].min() == pytest.approx(0)


@pytest.mark.parametrize("angle", [0.0, 0.4, -2.8])
def test_points_there_and_back(angle: float) -> None:
    crop = Crop((210.5, 99.25), 133.0, (400, 300), angle)
    points = np.array([[0.0, 0], [200, 100], [399, 299]])
    np.testing.assert_allclose(crop.to_source(crop.to_crop(points, 512), 512), points, atol=1e-9)
    np.testing.assert_allclose(crop.to_crop(np.array([crop.center]), 512), [[256, 256]], atol=1e-9)


def test_extract_at_its_own_size_returns_the_pixels() -> None:
    image = torch.rand(1, 3, 40, 51, generator=torch.Generator().manual_seed(1))
    crop = Crop((20.0, 16.0), 24.0, (51, 40))
    torch.testing.assert_close(crop.extract(image, 24), image[..., 4:28, 8:32], atol=1e-5, rtol=0)


def test_extract_follows_points_through_rotation() -> None:
    image = torch.zeros(1, 3, 120, 160)
    image[..., 50, 90] = 1
    crop = Crop((80.0, 60.0), 80.0, (160, 120), angle=0.7)
    x, y = crop.to_crop(np.array([[90.5, 50.5]]), 160)[0]
    found = crop.extract(image, 160)[0, 0]
    row, column = divmod(int(found.argmax()), 160)
    assert abs(column + 0.5 - x) < 1.5
    assert abs(row + 0.5 - y) < 1.5


@pytest.mark.parametrize("side", [96.0, 150.0, 333.0])
def test_reduction_averages_fine_patterns_away(side: float) -> None:
    checks = (torch.arange(400)[:, None] + torch.arange(400)).remainder(2).float()
    crop = Crop((200.0, 200.0), side, (400, 400))
    small = crop.extract(checks.expand(1, 3, -1, -1), 32)
    assert (small - 0.5).abs().max() < 0.13


def test_outside_is_mirrored_not_black() -> None:
    ramp = torch.linspace(0.2, 0.8, 100).expand(1, 3, 60, 100)
    pixels = Crop((0.0, 30.0), 60.0, (100, 60)).extract(ramp, 60)[0, 0]
    torch.testing.assert_close(pixels[:, :29].flip(-1), pixels[:, 31:], atol=0.01, rtol=0)
    far = Crop((-500.0, 900.0), 60.0, (100, 60)).extract(ramp, 30)
    assert far.min() >= 0.19


def test_extract_refuses_another_picture() -> None:
    with pytest.raises(ImageError, match="100x60, not 60x100"):
        Crop((30.0, 30.0), 20.0, (100, 60)).extract(torch.zeros(1, 3, 100, 60), 32)


@pytest.mark.parametrize("side", [0.0, -3.0, math.nan, math.inf])
def test_a_crop_needs_a_finite_positive_side(side: float) -> None:
    with pytest.raises(ImageError, match="side above 0"):
        Crop((1.0, 1.0), side, (10, 10))


def test_similarities_recover_a_known_transform() -> None:
    matrix = Crop((30.0, -12.0), 55.0, (1, 1), angle=0.6).matrix_to_source(100)
    source = np.random.default_rng(3).uniform(0, 100, (6, 2))
    target = apply_affine(matrix, source)
    np.testing.assert_allclose(umeyama_similarity(source, target), matrix, atol=1e-9)
    np.testing.assert_allclose(least_squares_similarity(source, target), matrix, atol=1e-3)
    np.testing.assert_allclose(apply_affine(invert_affine(matrix), target), source, atol=1e-9)


def test_umeyama_never_mirrors() -> None:
    source = np.array([[0.0, 0], [2, 0], [0, 1], [2, 1.5]])
    fitted = umeyama_similarity(source, source * [-1, 1])
    assert np.linalg.det(fitted[:, :2]) > 0


def test_official_face_fraction() -> None:
    assert pytest.approx(0.45833, abs=1e-5) == OFFICIAL_FACE_FRACTION
