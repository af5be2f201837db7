"""The chart of an edit: face before and after, what was found, asked and reached action units."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from ..aus import ACTION_UNITS
from ..drawing.charts import (
    BAR,
    BARS_X,
    EDGE,
    SMALL_SIZE,
    TEXT_SIZE,
    WIDTH,
    Axis,
    frame_names,
    new_chart,
    paint,
    row_middle,
    write_unit,
)
from ..drawing.text import FAINT, INK, SOFT_INK, as_tensor, wrapped, write
from .findings import FrameReport, findings

PORTRAIT_SIZE = 160
ASKED = "#d3d3dc"

_PORTRAITS_TOP = 66
_ROWS_TOP = _PORTRAITS_TOP + PORTRAIT_SIZE + 90
_AXIS_RIGHT, _ASKED_X, _REACHED_X = 490, 554, WIDTH - EDGE


def edit_charts(
    reports: Sequence[FrameReport], portraits: Sequence[tuple[Image.Image, Image.Image]]
) -> torch.Tensor:
    """One chart for each frame: [N,3,h,w] float 0..1.

    `portraits` are the face before and after, of at most PORTRAIT_SIZE pixels.
    """
    rows = zip(reports, portraits, frame_names(len(reports)), strict=True)
    return torch.cat([as_tensor(_edit_chart(*row)) for row in rows])


def _edit_chart(
    report: FrameReport, portraits: tuple[Image.Image, Image.Image], name: str
) -> Image.Image:
    image, draw = new_chart(_ROWS_TOP, "Asked and reached", name)
    _place_portraits(image, draw, portraits)
    _write_findings(draw, report)
    axis = Axis(draw, BARS_X, _AXIS_RIGHT, *_limits(report), _ROWS_TOP)
    axis.draw_grid([int(axis.low), 0, int(axis.high)], "change of intensity")
    for x, text in ((_ASKED_X, "asked"), (_REACHED_X, "reached")):
        write(draw, (x, _ROWS_TOP - 4), text, SMALL_SIZE, SOFT_INK, anchor="rd")
    _draw_rows(draw, axis, report)
    return image


def _draw_rows(draw: ImageDraw.ImageDraw, axis: Axis, report: FrameReport) -> None:
    """A wide pale bar for what was asked, a narrow one in colour for what was reached."""
    achieved = report.achieved.values if report.achieved is not None else ()
    for index, unit in enumerate(ACTION_UNITS):
        asked, middle = report.requested.values[index], row_middle(_ROWS_TOP, unit)
        write_unit(draw, unit, middle, faint=not asked)
        axis.draw_bar(middle, asked, ASKED, BAR + 4)
        if asked:
            text = _signed(asked)
            write(draw, (_ASKED_X, middle), text, TEXT_SIZE, SOFT_INK, anchor="rm")
        if achieved:
            colour = paint(unit, report.confidence[index])
            axis.draw_bar(middle, achieved[index], colour, BAR // 2)
            ink = INK if asked else SOFT_INK
            text = _signed(achieved[index])
            write(draw, (_REACHED_X, middle), text, TEXT_SIZE, ink, anchor="rm")


def _place_portraits(
    image: Image.Image, draw: ImageDraw.ImageDraw, portraits: tuple[Image.Image, Image.Image]
) -> None:
    left = EDGE
    for picture, name in zip(portraits, ("before", "after"), strict=True):
        space = (left, _PORTRAITS_TOP, left + PORTRAIT_SIZE - 1, _PORTRAITS_TOP + PORTRAIT_SIZE - 1)
        draw.rectangle(space, fill=FAINT)
        x = left + (PORTRAIT_SIZE - picture.width) // 2
        image.paste(picture, (x, _PORTRAITS_TOP + (PORTRAIT_SIZE - picture.height) // 2))
        place = (left + PORTRAIT_SIZE / 2, _PORTRAITS_TOP + PORTRAIT_SIZE + 5)
        write(draw, place, name, SMALL_SIZE, SOFT_INK, anchor="ma")
        left += PORTRAIT_SIZE + 12


def _write_findings(draw: ImageDraw.ImageDraw, report: FrameReport) -> None:
    """Beside the portraits: each name above its sentence of at most two lines."""
    x, y = EDGE + 2 * (PORTRAIT_SIZE + 12) + 12, _PORTRAITS_TOP - 4
    width = WIDTH - EDGE - x
    for name, sentence in findings(report).items():
        write(draw, (x, y), name, SMALL_SIZE, SOFT_INK)
        y += 19
        for line in wrapped(sentence, TEXT_SIZE - 1, width, 2):
            write(draw, (x, y), line, TEXT_SIZE - 1, width=width)
            y += 21
        y += 6


def _limits(report: FrameReport) -> tuple[float, float]:
    """-5 and 5, or -10 and 10 where more was asked."""
    most = 5.0 if max(map(abs, report.requested.values)) <= 5 else 10.0
    return -most, most


def _signed(value: float) -> str:
    text = f"{value:+.1f}"
    return text.lstrip("+-") if float(text) == 0 else text
