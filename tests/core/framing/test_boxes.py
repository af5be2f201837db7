"""Bounding boxes of other nodes, in every form they come in."""

from __future__ import annotations

import numpy as np
import pytest

from magicface_core.errors import ImageError
from magicface_core.framing.boxes import area, frame_boxes, shared_area, text_of

FIRST = {"x": 10, "y": 20, "width": 30, "height": 40}
SECOND = {"x": 1.5, "y": 2, "width": 3, "height": 4, "label": "face", "score": 0.9}
CORNERS = [[10, 20, 40, 60], [1.5, 2, 4.5, 6]]


def lists(boxes: list[np.ndarray | None]) -> list[list[float] | None]:
    return [None if box is None else box.tolist() for box in boxes]


@pytest.mark.parametrize(
    ("value", "frames", "expected"),
    [
        (FIRST, 1, CORNERS[:1]),
        (FIRST, 3, [CORNERS[0]] * 3),
        ([FIRST], 1, CORNERS[:1]),
        ([FIRST], 3, [CORNERS[0]] * 3),
        ([FIRST, SECOND], 2, CORNERS),
        ((FIRST, SECOND), 2, CORNERS),
        ([FIRST, SECOND], 1, CORNERS[:1]),
        ([[FIRST, SECOND]], 1, CORNERS[:1]),
        ([[SECOND], [FIRST, SECOND]], 2, CORNERS[::-1]),
        ([[FIRST], []], 2, [CORNERS[0], None]),
        ([[FIRST, SECOND]], 2, [CORNERS[0]] * 2),
        ([FIRST, None], 2, [CORNERS[0], None]),
        ([], 2, [None, None]),
        ([[]], 2, [None, None]),
        ({"x": np.int64(1), "y": 2, "width": np.float32(3), "height": 4}, 1, [[1, 2, 4, 6]]),
    ],
)
def test_one_box_for_each_frame(value: object, frames: int, expected: object) -> None:
    assert lists(frame_boxes(value, frames)) == expected


@pytest.mark.parametrize("value", [[FIRST, SECOND], [[FIRST], [SECOND]]])
def test_boxes_for_another_number_of_frames(value: object) -> None:
    with pytest.raises(ImageError, match="bounding boxes for 2 frames and 5 pictures; connect one"):
        frame_boxes(value, 5)


def test_lists_of_boxes_for_more_frames_than_one_picture() -> None:
    with pytest.raises(ImageError, match="for 2 frames and 1 pictures"):
        frame_boxes([[FIRST], [SECOND]], 1)


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "10, 20, 30, 40",
        [10, 20, 30, 40],
        np.zeros(4),
        {"x": 1, "y": 2, "w": 3, "h": 4},
        {"x": "left", "y": 2, "width": 3, "height": 4},
        {"x": None, "y": 2, "width": 3, "height": 4},
        [[FIRST, "box"]],
        [[[FIRST]]],
    ],
)
def test_what_is_no_box_is_shown(value: object) -> None:
    with pytest.raises(ImageError, match=r"dictionary of x, y, width and height .* not "):
        frame_boxes(value, 1)


def test_a_long_refused_value_is_cut() -> None:
    with pytest.raises(ImageError) as raised:
        frame_boxes("x" * 10_000, 1)
    assert len(str(raised.value)) < 250


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"width": 0}, "width and height above 0, not 0 x 40"),
        ({"height": -3}, "width and height above 0, not 30 x -3"),
        ({"x": float("nan")}, "finite"),
        ({"width": float("inf")}, "finite"),
    ],
)
def test_boxes_without_area_or_place(changed: dict[str, float], named: str) -> None:
    with pytest.raises(ImageError, match=named):
        frame_boxes(FIRST | changed, 1)


def test_areas_and_words() -> None:
    first, second = np.array([0.0, 0.0, 4.0, 3.0]), np.array([3.0, 1.0, 9.0, 9.0])
    assert area(first) == 12
    assert shared_area(first, second) == 2
    assert shared_area(first, second + 10) == 0
    assert text_of(second) == "x 3, y 1, width 6, height 8"
