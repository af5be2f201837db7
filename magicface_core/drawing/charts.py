"""Action units as bar charts that stay readable inside a ComfyUI node, drawn with Pillow.

Brows, eyes and mouth have a colour each. A bar is painted the thinner, the less its number can be
trusted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image, ImageDraw

from ..aus import ACTION_UNITS, ActionUnit, AUVector
from ..expressions.building import estimate_rows, has_face, region_of
from .text import FAINT, INK, PAPER, REGION_COLOURS, SOFT_INK, as_tensor, mixed, write

if TYPE_CHECKING:
    from ..perception import AUEstimate

WIDTH = 640
EDGE = 20
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 25, 19, 16
ROW, BAR = 34, 20
ROWS_HEIGHT = ROW * len(ACTION_UNITS)
WORDS_X, WORDS_WIDTH, BARS_X = 74, 222, 306
THINNEST_PAINT = 0.3


def intensity_charts(estimates: Sequence[AUEstimate]) -> torch.Tensor:
    """Twelve bars with intensity 0..5 and confidence for each frame: [B,3,H,W] float 0..1."""
    names = frame_names(len(estimates))
    charts = [_intensity_chart(*pair) for pair in zip(estimates, names, strict=True)]
    return torch.cat([as_tensor(chart) for chart in charts])


def _intensity_chart(estimate: AUEstimate, name: str) -> Image.Image:
    top, right = 112, 511
    seen = has_face(estimate)
    image, draw = new_chart(top, "Action units in the face" if seen else "No face here", name)
    axis = Axis(draw, BARS_X, right, 0, AUVector.maximum, top)
    axis.draw_grid(range(6), "intensity, from 0 to 5")
    write(draw, (WIDTH - EDGE, top - 44), "confidence", SMALL_SIZE, SOFT_INK, anchor="ra")
    for unit, intensity, confidence in estimate_rows(estimate):
        middle = row_middle(top, unit)
        write_unit(draw, unit, middle, faint=not seen)
        if seen:
            axis.draw_bar(middle, intensity, paint(unit, confidence))
            write(draw, (right + 42, middle), f"{intensity:.1f}", TEXT_SIZE, anchor="rm")
            trust = f"{100 * confidence:.0f} %"
            write(draw, (WIDTH - EDGE, middle), trust, SMALL_SIZE, SOFT_INK, anchor="rm")
    return image


@dataclass(frozen=True)
class Axis:
    """A horizontal axis from value `low` at x = `left` to `high` at `right`, rows below `top`."""

    draw: ImageDraw.ImageDraw
    left: float
    right: float
    low: float
    high: float
    top: float

    def x(self, value: float) -> int:
        """Where a value lies; values beyond the ends lie on them."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.left + share * (self.right - self.left))

    def draw_grid(self, ticks: Sequence[int], name: str) -> None:
        """Lines through all rows with their numbers above, and what they measure above those."""
        for tick in ticks:
            x = self.x(tick)
            line = (x, self.top - 2, x, self.top + ROWS_HEIGHT)
            self.draw.line(line, fill=SOFT_INK if tick == 0 else FAINT)
            text = f"{tick:+d}" if self.low < 0 and tick else str(tick)
            write(self.draw, (x, self.top - 4), text, SMALL_SIZE, SOFT_INK, anchor="md")
        place = ((self.left + self.right) / 2, self.top - 44)
        write(self.draw, place, name, SMALL_SIZE, SOFT_INK, anchor="ma")

    def draw_bar(self, middle: float, value: float, colour: str, height: int = BAR) -> None:
        """A bar from zero to `value`; nothing at zero."""
        left, right = sorted((self.x(0), self.x(value)))
        if right > left:
            top = round(middle - height / 2)
            self.draw.rectangle((left, top, right, top + height - 1), fill=colour)


def new_chart(top: int, title: str, note: str) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Paper for twelve rows below `top`, with a title and a note at the right end of its line."""
    image = Image.new("RGB", (WIDTH, top + ROWS_HEIGHT + 24), PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (EDGE, 18), title, TITLE_SIZE)
    write(draw, (WIDTH - EDGE, 24), note, SMALL_SIZE, SOFT_INK, anchor="ra")
    return image, draw


def write_unit(
    draw: ImageDraw.ImageDraw, unit: ActionUnit, middle: float, *, faint: bool = False
) -> None:
    """Code and plain words of a row, the code in the colour of its part of the face."""
    colour = SOFT_INK if faint else REGION_COLOURS[region_of(unit)]
    write(draw, (EDGE, middle), unit.code, TEXT_SIZE, colour, anchor="lm")
    ink = SOFT_INK if faint else INK
    place = (WORDS_X, middle)
    write(draw, place, unit.plain, TEXT_SIZE, ink, anchor="lm", width=WORDS_WIDTH)


def row_middle(top: float, unit: ActionUnit) -> float:
    """The y position of a unit's row, where the first row begins at `top`."""
    return top + ROW * (ACTION_UNITS.index(unit) + 0.5)


def paint(unit: ActionUnit, confidence: float) -> str:
    """The colour of a bar: its part of the face, thinner where it can be trusted less."""
    share = THINNEST_PAINT + (1 - THINNEST_PAINT) * min(max(confidence, 0), 1)
    return mixed(REGION_COLOURS[region_of(unit)], share)


def frame_names(count: int) -> list[str]:
    """What to call each frame of several; one alone needs no name."""
    if count == 1:
        return [""]
    return [f"frame {index} (of 0 to {count - 1})" for index in range(count)]
