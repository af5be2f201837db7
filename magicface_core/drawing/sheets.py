"""Labelled pictures in rows on one sheet, drawn with Pillow's own font."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw

from ..aus import ACTION_UNITS, AUDelta
from ..errors import ImageError
from ..expressions.building import rounded
from ..pictures.batches import frame
from ..pictures.images import MAX_PIXELS
from .text import (
    INK,
    PAPER,
    SOFT_INK,
    as_picture,
    as_tensor,
    contained,
    line_height,
    wrapped,
    write,
)

MARGIN, GAP = 24, 16
HEADING_SIZE = 26
TITLE_SHARE, NOTE_SHARE = 0.075, 0.058  # of a tile's width
SMALLEST_TITLE, SMALLEST_NOTE = 12, 11
HEADING_LINES = 3
TITLE_LINES = 5  # enough for all twelve units below a picture of 256 pixels


@dataclass(frozen=True)
class Tile:
    """A picture with a title and a smaller note below it."""

    picture: Image.Image
    title: str
    note: str = ""


def labelled_sheet(
    rows: Sequence[Sequence[Tile]], heading: str = "", tile_size: int | tuple[int, int] = 320
) -> Image.Image:
    """All tiles under a heading, each picture fitted into tile_size (or width, height) pixels.

    Raises ImageError when the sheet would have more pixels than a picture may.
    """
    layout = _Layout.of(rows, heading, tile_size)
    sheet = Image.new("RGB", layout.size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(layout.heading):
        top = MARGIN + number * line_height(HEADING_SIZE)
        write(draw, (MARGIN, top), line, HEADING_SIZE, INK, width=layout.width)
    for y, row in enumerate(rows):
        for x, tile in enumerate(row):
            _place(sheet, draw, tile, layout, layout.corner(x, y))
    return sheet


def frames_sheet(
    pictures: torch.Tensor,
    deltas: Sequence[AUDelta],
    *,
    columns: int = 0,
    tile: int = 256,
    heading: str = "",
) -> torch.Tensor:
    """Frames in a grid, each with its change of expression below.

    Args:
        pictures: [N,3,H,W] float 0..1.
        deltas: one for each picture, or one for all.
        columns: pictures in a row; 0 chooses a number that fills the rows.
        tile: longer side in pixels of a picture on the sheet.
        heading: words above, or nothing.

    Returns:
        [1,3,h,w] float 0..1.

    Raises:
        ImageError: the numbers of pictures and deltas differ, or the sheet would be too large.
    """
    count = len(pictures)
    if len(deltas) not in (1, count):
        raise ImageError(
            f"{count} pictures and {len(deltas)} deltas: connect the pictures made from these "
            "deltas, so that each has its own."
        )
    columns = min(columns, count) if columns > 0 else balanced_columns(count)
    tiles = []
    for index, picture in enumerate(pictures):
        delta = frame(deltas, index)
        tiles.append(Tile(as_picture(picture), rounded(delta).label(), _names(delta)))
    rows = [tiles[start : start + columns] for start in range(0, count, columns)]
    height, width = pictures.shape[-2:]
    scale = tile / max(width, height)
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return as_tensor(labelled_sheet(rows, heading, size))


def balanced_columns(count: int) -> int:
    """A number of columns near the square that leaves the fewest places of a grid empty."""
    square = math.ceil(math.sqrt(count))
    return min(range(square, min(count, 2 * square) + 1), key=lambda n: (-count % n, n))


def _names(delta: AUDelta) -> str:
    """The full names of one or two changed units; more would not fit below a picture."""
    pairs = zip(ACTION_UNITS, delta.values, strict=True)
    changed = [unit.name for unit, value in pairs if value]
    return ", ".join(changed) if len(changed) <= 2 else ""


@dataclass(frozen=True)
class _Layout:
    """Where everything goes, in pixels: `tops` are those of the rows and the sheet's last line."""

    tile: tuple[int, int]
    title_size: float
    note_size: float
    columns: int
    tops: tuple[int, ...]
    heading: tuple[str, ...]

    @classmethod
    def of(
        cls, rows: Sequence[Sequence[Tile]], heading: str, tile_size: int | tuple[int, int]
    ) -> _Layout:
        tile = tile_size if isinstance(tile_size, tuple) else (tile_size, tile_size)
        title_size = max(TITLE_SHARE * tile[0], SMALLEST_TITLE)
        note_size = max(NOTE_SHARE * tile[0], SMALLEST_NOTE)
        columns = max(map(len, rows))
        lines = _heading_lines(heading, _width(columns, tile))
        above = line_height(HEADING_SIZE) * (len(lines) - 1) + HEADING_SIZE + GAP if lines else 0
        tops = [MARGIN + above]
        for row in rows:
            titles = (wrapped(item.title, title_size, tile[0], TITLE_LINES) for item in row)
            caption = max(map(len, titles)) * line_height(title_size) + line_height(note_size)
            tops.append(tops[-1] + tile[1] + GAP // 2 + caption + GAP)
        layout = cls(tile, title_size, note_size, columns, tuple(tops), tuple(lines))
        width, height = layout.size
        if width * height > MAX_PIXELS:
            raise ImageError(
                f"The sheet would be {width} x {height} pixels, more than the {MAX_PIXELS:,} "
                "allowed; use smaller tiles or fewer pictures."
            )
        return layout

    @property
    def size(self) -> tuple[int, int]:
        return self.width + 2 * MARGIN, self.tops[-1] - GAP + MARGIN

    @property
    def width(self) -> int:
        """Between the margins."""
        return _width(self.columns, self.tile)

    def corner(self, column: int, row: int) -> tuple[int, int]:
        return MARGIN + column * (self.tile[0] + GAP), self.tops[row]


def _heading_lines(heading: str, width: int) -> list[str]:
    return wrapped(heading, HEADING_SIZE, width, HEADING_LINES) if heading.strip() else []


def _width(columns: int, tile: tuple[int, int]) -> int:
    return columns * (tile[0] + GAP) - GAP


def _place(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    tile: Tile,
    layout: _Layout,
    corner: tuple[int, int],
) -> None:
    x, y = corner
    width, height = layout.tile
    picture = contained(tile.picture, layout.tile)
    sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
    y += height + GAP // 2
    for line in wrapped(tile.title, layout.title_size, width, TITLE_LINES):
        write(draw, (x, y), line, layout.title_size, INK, width=width)
        y += line_height(layout.title_size)
    write(draw, (x, y), tile.note, layout.note_size, SOFT_INK, width=width)
