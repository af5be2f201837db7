"""Labelled sheets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.aus import ACTION_UNITS, AUDelta
from magicface_core.drawing.sheets import (
    HEADING_SIZE,
    MARGIN,
    Tile,
    balanced_columns,
    frames_sheet,
    labelled_sheet,
)
from magicface_core.drawing.text import line_height
from magicface_core.errors import ImageError

RED, BLUE = (220, 20, 30), (10, 40, 200)
EVERYTHING = AUDelta(**{unit.code: -1.25 for unit in ACTION_UNITS})


def count(sheet: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == color).all(axis=2).sum())


def frames(number: int, height: int = 40, width: int = 40) -> torch.Tensor:
    """[N,3,H,W]: pictures in one dark shade each, darker than what antialiased text leaves."""
    return torch.linspace(0.5, 0.3, number).view(-1, 1, 1, 1).expand(-1, 3, height, width)


def shades(sheet: torch.Tensor, pictures: torch.Tensor) -> list[int]:
    """How many pixels each picture takes on the sheet."""
    levels = (sheet * 255).round()
    return [int((levels == (picture[0, 0, 0] * 255).round()).all(1).sum()) for picture in pictures]


def test_pictures_keep_their_colours_and_proportions() -> None:
    pictures = Image.new("RGB", (50, 50), RED), Image.new("RGB", (50, 25), BLUE)
    sheet = labelled_sheet([[Tile(picture, "title") for picture in pictures]], tile_size=100)
    assert count(sheet, RED) == 100 * 100
    assert count(sheet, BLUE) == 100 * 50


def test_captions_and_heading_are_drawn() -> None:
    tile = Image.new("RGB", (10, 10), RED)
    plain = np.asarray(labelled_sheet([[Tile(tile, "")]], tile_size=100))
    titled = np.asarray(labelled_sheet([[Tile(tile, "smile", "AU6+4 AU12+4")]], tile_size=100))
    assert plain.shape == titled.shape
    assert (titled < 128).sum() > (plain < 128).sum() + 100
    headed = labelled_sheet([[Tile(tile, "")]], "a heading", tile_size=100)
    assert headed.height > plain.shape[0]


def test_rows_make_a_grid_and_long_text_stays_inside() -> None:
    tile = Tile(Image.new("RGB", (10, 10), RED), "too long for this")
    one, two = (labelled_sheet([[tile]] * rows, tile_size=90) for rows in (1, 2))
    assert two.width == one.width
    assert two.height > 1.8 * (one.height - 48)
    assert (np.asarray(two)[:, -24:] == 255).all()


def test_rows_are_as_high_as_their_longest_caption() -> None:
    short, long = (
        Tile(Image.new("RGB", (9, 9)), "AU1+1"),
        Tile(Image.new("RGB", (9, 9)), "AU1+1 AU2+1 AU4+1 AU5+1"),
    )
    heights = [labelled_sheet([[tile]], tile_size=90).height for tile in (short, long)]
    assert heights[1] > heights[0]
    mixed = labelled_sheet([[short], [long]], tile_size=90).height
    assert mixed == sum(heights) - 2 * MARGIN + 16


# --- frames -----------------------------------------------------------------------------------


def test_frames_in_rows_with_their_deltas() -> None:
    pictures = frames(6)
    deltas = [AUDelta(AU12=value) for value in range(6)]
    sheet = frames_sheet(pictures, deltas, columns=3, tile=64)
    assert sheet.shape[:2] == (1, 3)
    assert sheet.shape[3] == 3 * 64 + 2 * 16 + 2 * MARGIN
    assert min(shades(sheet, pictures)) >= 64 * 64
    assert sheet.dtype == torch.float32


def test_one_delta_labels_all_frames() -> None:
    one = frames_sheet(frames(4), [AUDelta(AU12=3)], tile=64)
    four = frames_sheet(frames(4), [AUDelta(AU12=3)] * 4, tile=64)
    assert torch.equal(one, four)


@pytest.mark.parametrize("deltas", [0, 2, 4])
def test_other_numbers_of_deltas_are_refused(deltas: int) -> None:
    with pytest.raises(ImageError, match=f"3 pictures and {deltas} deltas"):
        frames_sheet(frames(3), [AUDelta()] * deltas)


@pytest.mark.parametrize(
    ("height", "width", "area"), [(20, 40, 32 * 64), (40, 20, 64 * 32), (1, 900, 64), (900, 1, 64)]
)
def test_frames_that_are_not_square_leave_no_gaps(height: int, width: int, area: int) -> None:
    pictures = frames(1, height, width)
    sheet = frames_sheet(pictures, [AUDelta()], tile=64)
    assert shades(sheet, pictures)[0] >= area
    assert sheet.shape[2] < 2 * MARGIN + 64 * height / max(height, width) + 60


def test_a_heading_wider_than_its_sheet_goes_on_below() -> None:
    tile = Tile(Image.new("RGB", (100, 100), "white"), "")
    narrow, words = labelled_sheet([[tile]], "short", 160), "Attention maps, AU12 +4, AU6 +2"
    headed = labelled_sheet([[tile]], words, 160)
    assert headed.width == narrow.width
    assert headed.height - narrow.height == 2 * line_height(HEADING_SIZE)
    second = np.asarray(headed.convert("L"))[MARGIN + line_height(HEADING_SIZE) :][:HEADING_SIZE]
    assert second.min() < 128, "ink on the second line"


def test_heading_of_any_letters_stays_inside() -> None:
    for heading in ("two\nlines", "表情 " * 200, "é" * 5000, "wide " * 5000):
        sheet = frames_sheet(frames(1), [AUDelta()], tile=64, heading=heading)
        assert bool((sheet[..., -MARGIN // 2 :] == 1).all())


def test_all_twelve_units_are_readable_below_a_picture() -> None:
    few = frames_sheet(frames(1), [AUDelta(AU1=1)], tile=256)
    many = frames_sheet(frames(1), [EVERYTHING], tile=256)
    assert many.shape[2] > few.shape[2] + 3 * 20


def test_sheets_beyond_all_measure_are_refused() -> None:
    with pytest.raises(ImageError, match="use smaller tiles or fewer pictures"):
        frames_sheet(frames(100, 8, 8), [AUDelta()], tile=1024)


@pytest.mark.parametrize(
    ("number", "columns"), [(1, 1), (2, 2), (3, 3), (5, 5), (6, 3), (7, 4), (12, 4), (25, 5)]
)
def test_columns_fill_the_rows(number: int, columns: int) -> None:
    assert balanced_columns(number) == columns


def test_more_columns_than_pictures_add_no_space() -> None:
    sheet = frames_sheet(frames(2), [AUDelta()], columns=9, tile=64)
    assert sheet.shape[3] == 2 * 64 + 16 + 2 * MARGIN
