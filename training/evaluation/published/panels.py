"""Small line plots with axes, drawn with Pillow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import ImageDraw

from magicface_core.drawing.text import FAINT, INK, SOFT_INK, write

MARGINS = (46, 30, 14, 26)  # left, top, right, bottom
TITLE_SIZE, TICK_SIZE = 15, 13
DOT = 3
TICKS = 4
NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """One plot: limits of both axes, lines with their colours, and bars (x, low, high).

    diagonal: also the grey line on which y equals x.
    """

    title: str
    x_limits: tuple[float, float]
    y_limits: tuple[float, float]
    lines: Sequence[tuple[Points, str]]
    bars: Sequence[tuple[float, float, float]] = ()
    diagonal: bool = False


@dataclass(frozen=True)
class _Frame:
    """Where values of a panel lie on the paper."""

    panel: Panel
    box: tuple[float, float, float, float]

    def place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = self.box
        (x_low, x_high), (y_low, y_high) = self.panel.x_limits, self.panel.y_limits
        across = (min(max(x, x_low), x_high) - x_low) / (x_high - x_low)
        up = (min(max(y, y_low), y_high) - y_low) / (y_high - y_low)
        return left + across * (right - left), bottom - up * (bottom - top)


def draw_panel(
    draw: ImageDraw.ImageDraw, panel: Panel, corner: tuple[int, int], size: tuple[int, int]
) -> None:
    """The panel in a space of `size` pixels from `corner` on."""
    (x, y), (width, height) = corner, size
    left, top, right, bottom = MARGINS
    frame = _Frame(panel, (x + left, y + top, x + width - right, y + height - bottom))
    write(draw, (x + left, y + 6), panel.title, TITLE_SIZE, INK, width=width - left - right)
    _draw_grid(draw, frame)
    if panel.diagonal:
        low = max(panel.x_limits[0], panel.y_limits[0])
        high = min(panel.x_limits[1], panel.y_limits[1])
        draw.line((*frame.place(low, low), *frame.place(high, high)), fill=SOFT_INK)
    for value, low, high in panel.bars:
        draw.line((*frame.place(value, low), *frame.place(value, high)), fill=SOFT_INK, width=2)
    for points, colour in panel.lines:
        places = [frame.place(*point) for point in points]
        draw.line(places, fill=colour, width=3, joint="curve")
        for px, py in places:
            draw.ellipse((px - DOT, py - DOT, px + DOT, py + DOT), fill=colour)


def _draw_grid(draw: ImageDraw.ImageDraw, frame: _Frame) -> None:
    left, top, right, bottom = frame.box
    panel = frame.panel
    for tick in ticks(*panel.x_limits):
        x, _ = frame.place(tick, panel.y_limits[0])
        draw.line((x, top, x, bottom), fill=FAINT)
        write(draw, (x, bottom + 4), f"{tick:g}", TICK_SIZE, SOFT_INK, anchor="ma")
    for tick in ticks(*panel.y_limits):
        _, y = frame.place(panel.x_limits[0], tick)
        draw.line((left, y, right, y), fill=SOFT_INK if tick == 0 else FAINT)
        write(draw, (left - 6, y), f"{tick:g}", TICK_SIZE, SOFT_INK, anchor="rm")


def ticks(low: float, high: float) -> list[float]:
    """A few round numbers between two ends."""
    raw = (high - low) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(nice * power for nice in NICE_STEPS if nice * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]
