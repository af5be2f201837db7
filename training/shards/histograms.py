"""Histograms and bars as pictures, drawn with Pillow: the same bytes on every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from magicface_core.drawing.text import FAINT, INK, PAPER, SOFT_INK, mixed, write

EDGE = 24
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 26, 18, 15
PANEL_WIDTH, PANEL_HEIGHT = 340, 210
TOP, BOTTOM, SIDE = 44, 30, 14  # inside a panel: room for its title, its numbers, its sides
HEAD = 84  # room for the title of the picture
ROW, BAR, NAMES, COUNTS = 36, 22, 190, 90
COLOUR = "#3f6fd1"


@dataclass(frozen=True)
class Panel:
    """The histogram of some values between the first and last of `edges`; those beyond are in the
    outermost bins."""

    title: str
    values: np.ndarray
    edges: np.ndarray
    colour: str = COLOUR

    def counts(self) -> np.ndarray:
        """How many values each bin has."""
        inside = np.clip(self.values, self.edges[0], self.edges[-1])
        return np.histogram(inside, self.edges)[0]


def draw_panels(title: str, note: str, panels: Sequence[Panel], columns: int) -> Image.Image:
    """Histograms side by side, each with its own height; the highest bin has its count above."""
    rows = -(-len(panels) // columns)
    size = (2 * EDGE + columns * PANEL_WIDTH, HEAD + rows * PANEL_HEIGHT + EDGE)
    image, draw = _paper(size, title, note)
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        _draw_panel(draw, panel, EDGE + column * PANEL_WIDTH, HEAD + row * PANEL_HEIGHT)
    return image


def draw_bars(title: str, note: str, counts: Mapping[str, int]) -> Image.Image:
    """One horizontal bar for each name, with its number."""
    width = 2 * EDGE + 3 * PANEL_WIDTH
    image, draw = _paper((width, HEAD + ROW * max(len(counts), 1) + EDGE), title, note)
    longest = max(counts.values(), default=0)
    room = width - 2 * EDGE - NAMES - COUNTS
    for number, (name, count) in enumerate(counts.items()):
        middle = HEAD + ROW * number + ROW // 2
        write(draw, (EDGE, middle), name, TEXT_SIZE, anchor="lm", width=NAMES - SIDE)
        left, length = EDGE + NAMES, round(room * count / longest) if longest else 0
        if length:
            box = (left, middle - BAR // 2, left + length, middle + BAR // 2)
            draw.rectangle(box, fill=COLOUR)
        place = (left + length + SIDE, middle)
        write(draw, place, f"{count:,}", SMALL_SIZE, SOFT_INK, anchor="lm")
    if not counts:
        write(draw, (EDGE, HEAD), "none", TEXT_SIZE, SOFT_INK)
    return image


def _paper(size: tuple[int, int], title: str, note: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    room = size[0] - 2 * EDGE
    write(draw, (EDGE, 16), title, TITLE_SIZE, width=room)
    write(draw, (EDGE, 50), note, SMALL_SIZE, SOFT_INK, width=room)
    return image, draw


def _draw_panel(draw: ImageDraw.ImageDraw, panel: Panel, x: int, y: int) -> None:
    left, right = x, x + PANEL_WIDTH - 2 * SIDE
    top, bottom = y + TOP, y + PANEL_HEIGHT - BOTTOM
    write(draw, (left, y + 4), panel.title, TEXT_SIZE, INK, width=right - left)
    counts = panel.counts()
    highest, labelled = max(int(counts.max(initial=0)), 1), False
    bins = len(counts)
    for number, count in enumerate(counts):
        start = left + round((right - left) * number / bins)
        end = left + round((right - left) * (number + 1) / bins) - 2
        if not count:
            continue
        # At least two pixels, so that what is rare can still be seen.
        height = max(round((bottom - top - 20) * count / highest), 2)
        draw.rectangle((start, bottom - height, end, bottom), fill=mixed(panel.colour, 0.85))
        if count == highest and not labelled:
            place = ((start + end) / 2, bottom - height - 3)
            write(draw, place, f"{count:,}", SMALL_SIZE, SOFT_INK, anchor="md")
            labelled = True
    draw.line((left, bottom + 1, right, bottom + 1), fill=SOFT_INK)
    _draw_ticks(draw, panel.edges, (left, right), (top, bottom))


def _draw_ticks(
    draw: ImageDraw.ImageDraw,
    edges: np.ndarray,
    horizontal: tuple[int, int],
    vertical: tuple[int, int],
) -> None:
    """The ends of the axis and its middle, with a faint line at zero."""
    (left, right), (top, bottom) = horizontal, vertical
    low, high = float(edges[0]), float(edges[-1])
    for value, anchor in ((low, "la"), ((low + high) / 2, "ma"), (high, "ra")):
        x = left + (right - left) * (value - low) / (high - low)
        text = f"{value:+g}" if low < 0 and value else f"{value:g}"
        write(draw, (x, bottom + 5), text, SMALL_SIZE, SOFT_INK, anchor=anchor)
    if low < 0 < high:
        x = round(left + (right - left) * -low / (high - low))
        draw.line((x, top, x, bottom), fill=FAINT)
