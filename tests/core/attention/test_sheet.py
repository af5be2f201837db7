"""The sheet of attention maps: which steps, which colours, which rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageColor

from magicface_core.attention.maps import AttentionMaps, Point, parse_places
from magicface_core.attention.recording import LayerMaps
from magicface_core.attention.sheet import (
    COLOURS,
    COVER,
    attention_sheet,
    heat_overlay,
    shown_steps,
)
from magicface_core.errors import MagicFaceError

GREY = torch.full((1, 3, 64, 64), 0.5)


def maps_of(steps: int, points: int = 1, reference: float = 0.5) -> AttentionMaps:
    flat = torch.full((steps, 4, 4), reference)
    looks = torch.full((steps, points, 4, 4), reference / 16)
    looks[..., 0, 0] *= 3
    layer = LayerMaps(0, "block", 1 - flat, flat, 0.1 * flat, looks)
    named = tuple(Point(f"point {n}", 0.25, 0.5) for n in range(points))
    return AttentionMaps(tuple(float(10 * n) for n in range(steps, 0, -1)), named, (layer,))


@pytest.mark.parametrize(
    ("count", "most", "steps"),
    [(3, 5, [0, 1, 2]), (50, 5, [0, 12, 24, 37, 49]), (6, 5, [0, 1, 2, 4, 5]), (9, 1, [0])],
)
def test_shown_steps(count: int, most: int, steps: list[int]) -> None:
    assert shown_steps(maps_of(count), most) == steps


def test_colours_go_from_the_least_to_the_most() -> None:
    picture = Image.new("RGB", (5, 2), (200, 200, 200))
    painted = np.asarray(heat_overlay(picture, torch.linspace(0, 1, 5).expand(2, 5)))
    for column, name in enumerate(COLOURS):
        wanted = COVER * np.array(ImageColor.getrgb(name)) + (1 - COVER) * 200
        assert np.abs(painted[0, column] - wanted).max() <= 1.5
    bare = heat_overlay(picture, torch.ones(2, 5), torch.zeros(2, 5))
    assert bare.tobytes() == picture.tobytes()


def test_rows_and_columns() -> None:
    whole = attention_sheet(maps_of(3, points=2), GREY, GREY, tile=64)
    assert attention_sheet(maps_of(3, points=1), GREY, GREY, tile=64).height < whole.height
    assert attention_sheet(maps_of(2, points=2), GREY, GREY, tile=64).width < whole.width
    many = attention_sheet(maps_of(50), GREY, GREY, tile=64)
    assert many.width == attention_sheet(maps_of(5), GREY, GREY, tile=64).width


def test_without_reference_neither_its_row_nor_points() -> None:
    plain = attention_sheet(maps_of(2, points=0), GREY, GREY, tile=64)
    without = attention_sheet(maps_of(2, points=2, reference=0.0), GREY, GREY, tile=64)
    assert without.height < plain.height


def test_where_more_attention_is_the_sheet_is_redder() -> None:
    maps = maps_of(1, points=0)
    own = torch.zeros(1, 4, 4)
    own[:, :, 2:] = 1  # the right half
    maps = replace(maps, layers=(replace(maps.layers[0], own=own, reference=1 - own),))
    sheet = np.asarray(attention_sheet(maps, GREY, GREY, tile=128), dtype=float)
    column = sheet[:180, 24 + 128 + 16 : 24 + 2 * 128 + 16]  # the first map of the first row
    rows = column[60:160]
    left, right = rows[:, :30].mean((0, 1)), rows[:, -30:].mean((0, 1))
    assert right[0] - right[2] > 60 > 0 > left[0] - left[2]


@pytest.mark.parametrize(
    ("text", "places"),
    [("", []), ("1,2", [(1, 2)]), (" 1.5,2;3,4 5,6 ", [(1.5, 2), (3, 4), (5, 6)])],
)
def test_places(text: str, places: list[tuple[float, float]]) -> None:
    assert parse_places(text) == places


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "1;2", "1,"])
def test_what_is_no_place(text: str) -> None:
    with pytest.raises(MagicFaceError, match="is not a point; write x and y"):
        parse_places(text)
