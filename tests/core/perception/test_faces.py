"""Finding faces in a photograph: sizes, numbers, tilts, borders; the mesh on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from magicface_core.errors import ImageError
from magicface_core.perception import Face, Perception
from magicface_core.perception.detector import merge_overlapping
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_tensor
from magicface_core.pictures.resampling import resample


def pasted(photo: torch.Tensor, canvas: torch.Tensor, scale: float, x: int, y: int) -> np.ndarray:
    """Puts the photo, `scale` times as large, on the canvas; returns its [2,3] transform."""
    size = round(512 * scale)
    matrix = np.array([[1 / scale, 0, 0], [0, 1 / scale, 0]])
    small = resample(photo, matrix, (size, size)).clamp(0, 1)
    canvas[..., y : y + size, x : x + size] = small
    return np.array([[scale, 0, x], [0, scale, y]])


def test_the_mesh_lies_on_the_face(face: Face) -> None:
    left_eye, right_eye, nose, left_mouth, right_mouth = face.points5
    # Read off the photograph by eye.
    np.testing.assert_allclose(left_eye, (203, 102), atol=2.5)
    np.testing.assert_allclose(right_eye, (247, 104), atol=2.5)
    np.testing.assert_allclose(nose, (225, 126), atol=4)
    np.testing.assert_allclose(left_mouth, (203, 140), atol=3)
    np.testing.assert_allclose(right_mouth, (245, 141), atol=3)
    assert face.mesh.shape == (478, 3)
    assert face.mesh.dtype == np.float64
    assert face.width == pytest.approx(91, abs=4)
    assert abs(math.degrees(face.roll)) < 6
    assert face.presence > 0.9


def test_jaw_runs_from_image_left_over_the_chin(face: Face) -> None:
    jaw = face.jaw
    assert jaw.shape == (17, 2)
    assert (np.diff(jaw[:, 0]) > -2).all()
    assert int(jaw[:, 1].argmax()) in (7, 8, 9)


def test_mapping_into_a_crop_and_back(face: Face, face_in_portrait: Face, crop: Crop) -> None:
    assert face_in_portrait.width == pytest.approx(face.width * 512 / crop.side, rel=1e-6)
    back = crop.to_source(face_in_portrait.mesh[:, :2], 512)
    np.testing.assert_allclose(back, face.mesh[:, :2], atol=1e-9)
    depth = face_in_portrait.mesh[:, 2] / face.mesh[:, 2]
    np.testing.assert_allclose(depth, 512 / crop.side)


@pytest.mark.parametrize("degrees", [30, 90, 135, 180, -60])
def test_tilted_and_upside_down_faces(
    perception: Perception, photo: torch.Tensor, face: Face, degrees: float
) -> None:
    tilted = Crop((225.0, 160.0), 300.0, (512, 512), math.radians(degrees))
    (found,) = perception.faces(tilted.extract(photo, 400))
    wanted = face.mapped(tilted, 400)
    error = np.linalg.norm(found.mesh[:, :2] - wanted.mesh[:, :2], axis=1).mean()
    assert error < 0.02 * wanted.width


@pytest.mark.parametrize("width", [40, 70])
def test_small_faces_in_a_large_picture(
    perception: Perception, photo: torch.Tensor, face: Face, width: int
) -> None:
    canvas = torch.full((1, 3, 900, 1100), 0.45)
    matrix = pasted(photo, canvas, width / face.width, 300, 200)
    (found,) = perception.faces(canvas)
    assert found.width == pytest.approx(width, rel=0.06)
    wanted = face.mesh[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    assert np.linalg.norm(found.mesh[:, :2] - wanted, axis=1).mean() < 0.05 * width


def test_several_faces_come_largest_first(perception: Perception, photo: torch.Tensor) -> None:
    canvas = torch.full((1, 3, 540, 1000), 0.45)
    pasted(photo, canvas, 0.5, 100, 200)
    pasted(photo.flip(-1), canvas, 1.0, 450, 20)
    found = perception.faces(canvas)
    assert len(found) == 2
    assert found[0].width > 1.8 * found[1].width
    assert found[0].points5[0, 0] > 450 > found[1].points5[1, 0]
    assert len(perception.faces(canvas, limit=1)) == 1


def test_a_face_cut_by_the_border_is_found(perception: Perception, photo: torch.Tensor) -> None:
    (found,) = perception.faces(photo[..., 190:])
    assert found.width == pytest.approx(91, abs=8)


@pytest.mark.parametrize("name", ["coffee", "chelsea"])
def test_pictures_without_a_human_face(perception: Perception, name: str) -> None:
    from skimage import data

    assert perception.faces(to_tensor(getattr(data, name)())) == []


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (1, 3, 7, 400)])
def test_tiny_and_narrow_pictures_do_not_break(
    perception: Perception, shape: tuple[int, ...]
) -> None:
    assert perception.faces(torch.full(shape, 0.5)) == []


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 3, 64, 64), (1, 4, 64, 64), (1, 3, 0, 64)])
def test_other_shapes_are_refused(perception: Perception, shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"\[1,3,H,W\]"):
        perception.faces(torch.zeros(shape))


def test_thread_count_is_left_alone(perception: Perception, photo: torch.Tensor) -> None:
    before = torch.get_num_threads()
    perception.faces(photo)
    assert torch.get_num_threads() == before


def test_overlapping_boxes_are_averaged_by_score() -> None:
    boxes = np.array([[0.0, 0, 10, 10], [2, 0, 12, 10], [50, 50, 60, 60]])
    keypoints = np.zeros((3, 6, 2))
    merged = merge_overlapping(np.array([0.9, 0.3, 0.6]), boxes, keypoints)
    assert [hit.score for hit in merged] == [0.9, 0.6]
    np.testing.assert_allclose(merged[0].box, [0.5, 0, 10.5, 10])
