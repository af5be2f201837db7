"""Labelled sheets."""

from __future__ import annotations

import numpy as np
from PIL import Image

from magicface_core.cli.sheet import Tile, labelled_sheet

RED, BLUE = (220, 20, 30), (10, 40, 200)


def count(sheet: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == color).all(axis=2).sum())


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
