"""Which of several faces is meant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from magicface_core.errors import FaceTooSmallError, ImageError, NoFaceError
from magicface_core.framing.boxes import box_of
from magicface_core.framing.choosing import FACE_ORDERS, choose_face, find_faces, sort_faces
from magicface_core.perception import Face, Perception

MIDDLE_SIZED, LARGE, SMALL = (136, 284), (662, 490), (399, 107)
EXPECTED = {
    "largest first": [LARGE, MIDDLE_SIZED, SMALL],
    "left to right": [MIDDLE_SIZED, SMALL, LARGE],
    "right to left": [LARGE, SMALL, MIDDLE_SIZED],
    "top to bottom": [SMALL, MIDDLE_SIZED, LARGE],
    "closest to centre": [SMALL, LARGE, MIDDLE_SIZED],
}


class Seeing:
    """A perception that finds given faces in the whole picture, and real ones in parts of it."""

    def __init__(self, faces: list[Face], perception: Perception | None = None) -> None:
        self._faces, self._perception = faces, perception
        self.looked_at: list[tuple[int, ...]] = []

    def faces(self, image: Tensor) -> list[Face]:
        self.looked_at.append(tuple(image.shape))
        if len(self.looked_at) == 1 or self._perception is None:
            return list(self._faces)
        return self._perception.faces(image)


@pytest.fixture(scope="module")
def found(perception: Perception, group: Tensor) -> list[Face]:
    return perception.faces(group)


def middle(face: Face) -> np.ndarray:
    box = box_of(face)
    return (box[:2] + box[2:]) / 2


def around(face: Face, grow: float = 0.0) -> np.ndarray:
    return box_of(face) + grow * np.array([-1, -1, 1, 1])


def test_every_order_numbers_the_faces(perception: Perception, group: Tensor) -> None:
    assert tuple(EXPECTED) == FACE_ORDERS
    for order, places in EXPECTED.items():
        faces = find_faces(perception, group, order)
        assert np.allclose([middle(face) for face in faces], places, atol=8), order


@pytest.mark.parametrize("index", [0, 1, 2])
def test_number_and_order_choose(found: list[Face], group: Tensor, index: int) -> None:
    for order, places in EXPECTED.items():
        face, faces = choose_face(Seeing(found), group, index, order)  # type: ignore[arg-type]
        assert face is faces[index]
        assert np.allclose(middle(face), places[index], atol=8)
        assert len(faces) == 3


def test_a_number_that_is_not_there(found: list[Face], group: Tensor) -> None:
    with pytest.raises(NoFaceError, match=r"no face number 3: 3 found, .* 0 to 2, left to right"):
        choose_face(Seeing(found), group, 3, "left to right")  # type: ignore[arg-type]


def test_an_unknown_order(found: list[Face], group: Tensor) -> None:
    with pytest.raises(ImageError, match=r'Unknown order "smallest".*closest to centre'):
        choose_face(Seeing(found), group, 0, "smallest")  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("grow", [-15, 0, 40])
def test_a_box_chooses_whatever_the_number(
    found: list[Face], group: Tensor, index: int, grow: float
) -> None:
    seeing: Any = Seeing(found)
    face, faces = choose_face(seeing, group, 7, "top to bottom", around(found[index], grow))
    assert face is found[index]
    assert [id(face) for face in faces] == [
        id(face) for face in sort_faces(found, "top to bottom", (900, 640))
    ]
    assert len(seeing.looked_at) == 1


def test_a_box_around_several_faces_takes_the_one_that_fills_it_most(
    found: list[Face], group: Tensor
) -> None:
    seeing: Any = Seeing(found)
    face, _ = choose_face(seeing, group, box=np.array([0.0, 0.0, 900.0, 640.0]))
    assert face is found[0]


def test_a_face_the_first_search_missed_is_found_in_the_box(
    perception: Perception, found: list[Face], group: Tensor
) -> None:
    missed = found[1]
    seeing: Any = Seeing([found[0], found[2]], perception)
    face, faces = choose_face(seeing, group, order="left to right", box=around(missed))
    assert np.abs(face.mesh - missed.mesh).max() < 4
    assert np.abs(face.box - missed.box).max() < 8
    assert np.abs(face.keypoints - missed.keypoints).max() < 8
    assert faces[0] is face
    assert len(faces) == 3
    height, width = seeing.looked_at[1][-2:]
    assert height < 300
    assert width < 300


def test_no_face_in_the_box(perception: Perception, found: list[Face], group: Tensor) -> None:
    seeing: Any = Seeing(found, perception)
    with pytest.raises(NoFaceError, match=r"box \(x 700, y 20, width 60.*elsewhere there are 3"):
        choose_face(seeing, group, box=np.array([700.0, 20.0, 760.0, 80.0]))
    nobody: Any = Seeing([])
    with pytest.raises(NoFaceError, match="nor anywhere else"):
        choose_face(nobody, group, box=np.array([700.0, 20.0, 760.0, 80.0]))


def test_a_box_that_reaches_over_the_edge_is_used(found: list[Face], group: Tensor) -> None:
    box = around(found[0])
    box[2:] += 500
    seeing: Any = Seeing(found)
    assert choose_face(seeing, group, box=box)[0] is found[0]


@pytest.mark.parametrize("box", [[900, 0, 950, 50], [-50, -50, 0, 10], [10, 640, 20, 660]])
def test_a_box_outside_the_picture(found: list[Face], group: Tensor, box: list[float]) -> None:
    seeing: Any = Seeing(found)
    with pytest.raises(ImageError, match="lies outside the 900 x 640 picture"):
        choose_face(seeing, group, box=np.array(box, float))


def test_small_faces_are_refused(perception: Perception, photo: Tensor) -> None:
    small = torch.nn.functional.interpolate(photo, scale_factor=0.35, mode="area")
    with pytest.raises(FaceTooSmallError, match=r"Face 0 is 3\d pixels wide"):
        choose_face(perception, small)
    (face,) = perception.faces(small)
    with pytest.raises(FaceTooSmallError, match="Face 0"):
        choose_face(perception, small, box=box_of(face))


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (3, 900), (64, 64)])
def test_black_and_tiny_pictures(perception: Perception, size: tuple[int, int]) -> None:
    with pytest.raises(NoFaceError, match=f"No face found in the {size[1]} x {size[0]} picture"):
        choose_face(perception, torch.zeros(1, 3, *size))
    with pytest.raises(NoFaceError, match="No face found in the bounding box"):
        choose_face(perception, torch.zeros(1, 3, *size), box=np.array([0.0, 0.0, 1.0, 1.0]))
