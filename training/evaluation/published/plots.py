"""Pictures of a run, drawn with Pillow: response slopes, leakage, response curves, guidance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from magicface_core.aus import ACTION_UNITS
from magicface_core.drawing.charts import (
    BAR,
    BARS_X,
    EDGE,
    SMALL_SIZE,
    TEXT_SIZE,
    TITLE_SIZE,
    WIDTH,
    Axis,
    new_chart,
    row_middle,
    write_unit,
)
from magicface_core.drawing.text import (
    FAINT,
    INK,
    PAPER,
    REGION_COLOURS,
    SOFT_INK,
    mixed,
    write,
)
from magicface_core.expressions.building import region_of

from ..tables import rounded
from .edit_table import SCORES
from .guidance_sweep import Sweep
from .panels import Panel, draw_panel
from .summary import FOUND, Summary
from .summary_tables import column_heads, name_of

CELL, LEAK_LEFT, LEAK_TOP = 52, 92, 118
FULL_RED = 0.5
"""Leakage per unit that is painted in full colour."""
PANEL = (300, 216)
AU_COLUMNS = 4


def slope_chart(summary: Summary) -> Image.Image:
    """Response slope of every AU as a bar with its interval; a line marks 1, what is asked."""
    slopes = [summary.response.slope(index) for index in range(len(ACTION_UNITS))]
    ends = [value for one in slopes for value in (one.value, one.low, one.high)]
    finite = [value for value in ends if math.isfinite(value)]
    top = 112
    image, draw = new_chart(top, "Response slope", name_of(summary.settings))
    low = math.floor(min([0.0, *finite]))
    axis = Axis(draw, BARS_X, 540, low, max(2, math.ceil(max([1.0, *finite]))), top)
    axis.draw_grid(range(int(axis.low), int(axis.high) + 1), "change measured per change asked")
    for unit, slope in zip(ACTION_UNITS, slopes, strict=True):
        middle = row_middle(top, unit)
        write_unit(draw, unit, middle)
        if not math.isfinite(slope.value):
            continue
        colour = REGION_COLOURS[region_of(unit)]
        axis.draw_bar(middle, slope.value, mixed(colour, 0.6))
        _draw_interval(draw, axis, middle, slope.low, slope.high)
        write(draw, (WIDTH - EDGE, middle), rounded(slope.value, 2), TEXT_SIZE, anchor="rm")
    one = axis.x(1)
    draw.line((one, top - 2, one, image.height - 24), fill=INK)
    return image


def leakage_chart(summary: Summary) -> Image.Image:
    """The 12 x 12 matrix: red is more, blue less than at rest; the diagonal is what was asked."""
    count = len(ACTION_UNITS)
    side = LEAK_LEFT + count * CELL + EDGE
    image = Image.new("RGB", (side, LEAK_TOP + count * CELL + EDGE), PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (EDGE, 18), "Leakage", TITLE_SIZE)
    write(draw, (side - EDGE, 24), name_of(summary.settings), SMALL_SIZE, SOFT_INK, anchor="ra")
    about = "rows: AU asked for; columns: change of each AU per unit asked"
    write(draw, (EDGE, 54), about, SMALL_SIZE, SOFT_INK)
    for index, unit in enumerate(ACTION_UNITS):
        middle = (index + 0.5) * CELL
        write(draw, (LEAK_LEFT - 10, LEAK_TOP + middle), unit.code, SMALL_SIZE, anchor="rm")
        write(draw, (LEAK_LEFT + middle, LEAK_TOP - 8), unit.code, SMALL_SIZE - 1, anchor="md")
    for (row, column), value in np.ndenumerate(summary.response.slopes):
        left, top = LEAK_LEFT + column * CELL, LEAK_TOP + row * CELL
        box = (left, top, left + CELL - 2, top + CELL - 2)
        draw.rectangle(box, fill=_heat(value), outline=INK if row == column else None)
        place = (left + CELL / 2 - 1, top + CELL / 2 - 1)
        write(
            draw,
            place,
            rounded(value, 2),
            SMALL_SIZE - 1,
            INK if row == column else SOFT_INK,
            anchor="mm",
        )
    return image


def curve_chart(summary: Summary) -> Image.Image:
    """A panel per AU: measured over asked change at each strength; the grey line is perfect."""
    panels = []
    for index, unit in enumerate(ACTION_UNITS):
        points = summary.curves[index]
        colour = REGION_COLOURS[region_of(unit)]
        line = [(0.0, 0.0), *sorted((asked, measured) for _, asked, measured in points)]
        limits = (0.0, 5.0), (-1.0, 5.0)
        panel = Panel(f"{unit.code} {unit.plain}", *limits, [(line, colour)], diagonal=True)
        panels.append(panel)
    title = f"{name_of(summary.settings)}: mean change measured over mean change asked"
    return _sheet(panels, title, AU_COLUMNS)


def guidance_chart(sweep: Sweep) -> Image.Image:
    """A panel per score over the guidance, with intervals."""
    heads = column_heads(sweep.one.choice)
    places = list(sweep.summaries)
    panels = []
    for key in SCORES:
        estimates = [summary.scores[FOUND][key] for summary in sweep.summaries.values()]
        rows = [
            (place, one.value, one.low, one.high)
            for place, one in zip(places, estimates, strict=True)
            if math.isfinite(one.value)
        ]
        ends = [value for row in rows for value in row[1:] if math.isfinite(value)] or [0.0]
        margin = 0.1 * (max(ends) - min(ends)) or 0.05
        limits = (0.0, max(places)), (max(0.0, min(ends) - margin), max(ends) + margin)
        line = [(place, value) for place, value, _, _ in rows]
        bars = [(place, low, high) for place, _, low, high in rows if math.isfinite(low)]
        colours = REGION_COLOURS["brows"]
        panels.append(Panel(heads[key], *limits, [(line, colours)], bars=bars))
    return _sheet(panels, f"{name_of(sweep.one.settings)}: scores over guidance", 2, (460, 280))


def run_charts(summary: Summary) -> Mapping[str, Image.Image]:
    """The pictures of a run by file name."""
    charts = {"slopes.png": slope_chart(summary), "leakage.png": leakage_chart(summary)}
    return {**charts, "curves.png": curve_chart(summary)}


def _sheet(
    panels: Sequence[Panel], title: str, columns: int, size: tuple[int, int] = PANEL
) -> Image.Image:
    """Panels in rows under a title."""
    rows = -(-len(panels) // columns)
    top = 62
    extent = (columns * size[0] + EDGE, top + rows * size[1] + EDGE // 2)
    image = Image.new("RGB", extent, PAPER)
    draw = ImageDraw.Draw(image)
    write(draw, (EDGE, 18), title, TITLE_SIZE, width=image.width - 2 * EDGE)
    for index, panel in enumerate(panels):
        row, column = divmod(index, columns)
        corner = (EDGE // 2 + column * size[0], top + row * size[1])
        draw_panel(draw, panel, corner, size)
    return image


def _draw_interval(
    draw: ImageDraw.ImageDraw, axis: Axis, middle: float, low: float, high: float
) -> None:
    if math.isfinite(low):
        draw.line((axis.x(low), middle, axis.x(high), middle), fill=INK, width=2)
        for end in (low, high):
            x = axis.x(end)
            draw.line((x, middle - BAR / 4, x, middle + BAR / 4), fill=INK, width=2)


def _heat(value: float) -> str:
    if not math.isfinite(value):
        return FAINT
    colour = REGION_COLOURS["mouth" if value > 0 else "brows"]
    return mixed(colour, min(abs(value) / FULL_RED, 1) * 0.8)
