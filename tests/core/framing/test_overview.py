"""The numbered preview of found faces."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magicface_core.framing.boxes import box_of
from magicface_core.framing.crops import crop_faces
from magicface_core.framing.framing import Framing
from magicface_core.framing.overview import CHOSEN, MOST_PICTURES, OTHER, Seen, draw_overview
from magicface_core.perception import Face, Perception
from magicface_core.perception.placing import crop_for_face
from magicface_core.pictures.crop import Crop

NOBODY = Seen((), None, None)


def is_colour(picture: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """[h,w] bool."""
    wanted = torch.tensor(colour).view(3, 1, 1) / 255
    return ((picture[0] - wanted).abs() < 0.02).all(0)


@pytest.fixture(scope="module")
def found(perception: Perception, group: Tensor) -> list[Face]:
    return perception.faces(group)


def test_faces_are_framed_and_the_chosen_one_stands_out(group: Tensor, found: list[Face]) -> None:
    chosen = found[1]
    square = crop_for_face(chosen, (900, 640))
    drawn = draw_overview(group, Seen(found, chosen, square))
    assert drawn.shape == (1, 3, 546, 768)
    scale = 768 / 900
    for face in found:
        x1, y1, x2, y2 = (box_of(face) * scale).round().astype(int).tolist()
        frame = drawn[..., y1 - 2 : y2 + 3, x1 - 2 : x2 + 3]
        own, other = (CHOSEN, OTHER) if face is chosen else (OTHER, CHOSEN)
        columns = is_colour(frame, own).float().mean(0)
        assert columns[:8].max() > 0.5, "left side of the frame"
        assert columns[-8:].max() > 0.5, "right side of the frame"
        assert not is_colour(frame, other).any()
    assert drawn[0, :, 5, 5].mean() < 0.7 * group[0, :, 5, 5].mean(), "dim outside the square"
    x, y = (round(value * scale) for value in square.center)
    nose = drawn[0, :, y, x]
    assert torch.allclose(nose, group[0, :, round(y / scale), round(x / scale)], atol=0.15)


def test_without_a_choice_nothing_is_dimmed(group: Tensor, found: list[Face]) -> None:
    drawn = draw_overview(group, Seen(found, None, None))
    assert torch.allclose(drawn[0, :, 5, 5], group[0, :, 5, 5], atol=0.01)
    assert not is_colour(drawn, CHOSEN).any()
    assert is_colour(drawn, OTHER).any()


def test_the_caption_is_in_the_lower_left_corner() -> None:
    picture = torch.full((1, 3, 300, 400), 0.5)
    plain, captioned = (draw_overview(picture, NOBODY, text) for text in ("", "frame 12"))
    assert torch.allclose(plain, torch.full_like(plain, 0.5), atol=0.01)
    rows, columns = (plain != captioned).any(1)[0].nonzero(as_tuple=True)
    assert rows.min() > 0.85 * plain.shape[-2]
    assert columns.max() < 0.5 * plain.shape[-1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1, 1), (512, 512)),
        ((100, 200), (256, 512)),
        ((600, 500), (600, 500)),
        ((1000, 3000), (256, 768)),
        ((4001, 31), (768, 6)),
        ((1, 2000), (1, 768)),
    ],
)
def test_sizes(size: tuple[int, int], expected: tuple[int, int]) -> None:
    drawn = draw_overview(torch.full((1, 3, *size), 0.25), NOBODY)
    assert drawn.shape[-2:] == expected
    assert torch.allclose(drawn, torch.full_like(drawn, 0.25), atol=0.01)


def test_reduced_pictures_stay_in_place() -> None:
    picture = torch.zeros(1, 3, 3001, 2003)
    picture[..., 1500:, 1000:] = 1
    drawn = draw_overview(picture, NOBODY)
    row, column = round(1500 * 768 / 3001), round(1000 * drawn.shape[-1] / 2003)
    assert drawn[..., row + 2 :, column + 2 :].min() > 0.9
    assert drawn[..., : row - 2, :].max() < 0.1
    assert drawn[..., :, : column - 2].max() < 0.1


def test_marks_outside_the_picture_do_no_harm(group: Tensor, found: list[Face]) -> None:
    corner = group[..., 500:, 700:]  # the faces' coordinates now lie mostly outside
    drawn = draw_overview(corner, Seen(found, found[0], Crop((-50, 900), 500, (200, 140), 0.5)))
    assert drawn.shape == (1, 3, 358, 512)
    assert drawn.isfinite().all()


def test_of_many_frames_sixteen_are_shown(perception: Perception) -> None:
    shades = torch.linspace(0, 1, 31).view(31, 1, 1, 1).expand(31, 3, 20, 20)
    found = crop_faces(shades, perception, Framing(), on_no_face="pass through")
    assert found.overview.shape == (MOST_PICTURES, 3, 512, 512)
    corners = found.overview[:, 0, 0, 0]
    assert torch.allclose(corners, torch.linspace(0, 1, 16), atol=0.01)
