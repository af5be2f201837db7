"""Labelled pictures in rows on one sheet, drawn with Pillow's own font."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont, ImageOps

INK, SOFT_INK, PAPER = "#1d1d22", "#63636e", "#ffffff"
MARGIN, GAP = 24, 16
HEADING_SIZE, TITLE_SIZE, NOTE_SIZE = 26, 22, 17

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@dataclass(frozen=True)
class Tile:
    """A picture with a title and a smaller note below it."""

    picture: Image.Image
    title: str
    note: str = ""


def labelled_sheet(
    rows: Sequence[Sequence[Tile]], heading: str = "", tile_size: int = 320
) -> Image.Image:
    """All tiles, each picture fitted into tile_size x tile_size pixels, under a heading."""
    step_x = tile_size + GAP
    step_y = tile_size + _caption_height() + GAP
    top = MARGIN + (HEADING_SIZE + GAP if heading else 0)
    columns = max(len(row) for row in rows)
    size = (2 * MARGIN + columns * step_x - GAP, top + len(rows) * step_y - GAP + MARGIN)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    if heading:
        _write(draw, (MARGIN, MARGIN), heading, HEADING_SIZE, INK, size[0] - 2 * MARGIN)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            _place(sheet, draw, tile, (MARGIN + x * step_x, top + y * step_y), tile_size)
    return sheet


def _place(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    corner: tuple[int, int],
    size: int,
) -> None:
    x, y = corner
    picture = ImageOps.contain(tile.picture, (size, size), Image.Resampling.LANCZOS)
    sheet.paste(picture, (x + (size - picture.width) // 2, y + (size - picture.height) // 2))
    title_y = y + size + GAP // 2
    _write(draw, (x, title_y), tile.title, TITLE_SIZE, INK, size)
    _write(draw, (x, title_y + _line(TITLE_SIZE)), tile.note, NOTE_SIZE, SOFT_INK, size)


def _write(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    size: int,
    ink: str,
    width: int,
) -> None:
    draw.text(corner, text, fill=ink, font=_fitting_font(draw, text, size, width))


def _fitting_font(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> Font:
    """The default font at `size`, or smaller where the text would be wider than `width`."""
    font = ImageFont.load_default(size)
    length = draw.textlength(text, font)
    return font if length <= width else ImageFont.load_default(max(9, size * width / length))


def _caption_height() -> int:
    return GAP // 2 + _line(TITLE_SIZE) + _line(NOTE_SIZE)


def _line(size: int) -> int:
    return round(1.3 * size)
