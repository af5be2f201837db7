"""Preflight as a picture: the photograph with what was found in it, above a table of all checks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from ..drawing.charts import EDGE, SMALL_SIZE, TEXT_SIZE, TITLE_SIZE, WIDTH, frame_names
from ..drawing.text import (
    FAINT,
    INK,
    PAPER,
    SOFT_INK,
    as_picture,
    as_tensor,
    contained,
    wrapped,
    write,
)
from ..framing.overview import MOST_PICTURES, Seen, draw_overview
from ..perception.segmentation import placed_mask
from .report import PreflightReport
from .rules import LEVELS, RULES, Check, Level

COLOURS: dict[Level, str] = {"ok": "#2f8f4e", "warning": "#c47a00", "problem": "#c8302b"}
MARK = (1.0, 0.25, 0.15)
MARK_STRENGTH = 0.55
"""How strongly black and covered areas are tinted."""

PICTURE_HEIGHT = 420
ROW = 27
MOST_FIXES = 4
"""The worst findings whose fix is written below the table; the text has all of them."""

FIX_LINES = 2
LIMITS_WIDTH = 110
_TABLE_TOP = PICTURE_HEIGHT + 82
_FIXES_TOP = _TABLE_TOP + ROW * len(RULES) + 26
_FIX_HEIGHT = 32 + 21 * FIX_LINES
_HEIGHT = _FIXES_TOP + _FIX_HEIGHT * MOST_FIXES + 6
_NAME_X, _VALUE_X, _LIMITS_X = 128, 270, WIDTH - EDGE


def preflight_pictures(images: Tensor, reports: Sequence[PreflightReport]) -> Tensor:
    """One picture for each frame.

    Args:
        images: [B,3,H,W] float 0..1, what was checked.
        reports: of these frames.

    Returns:
        [b,3,h,w] float 0..1 on the CPU: the photograph with its faces numbered, dark outside the
        square, black and covered areas tinted; below it every check, and what to do about the
        worst ones. The size is always the same. Of more than sixteen frames the worst are drawn.
    """
    names = frame_names(len(reports))
    return torch.cat(
        [
            as_tensor(_draw(images[number : number + 1], reports[number], names[number]))
            for number in worst_frames(reports)
        ]
    )


def worst_frames(reports: Sequence[PreflightReport], most: int = MOST_PICTURES) -> list[int]:
    """Numbers of the `most` frames with the worst findings, in the order of the frames."""

    def badness(number: int) -> tuple[int, ...]:
        levels = [check.level for check in reports[number].checks]
        return tuple(-levels.count(level) for level in reversed(LEVELS[1:]))

    return sorted(sorted(range(len(reports)), key=badness)[:most])


def _draw(picture: Tensor, report: PreflightReport, name: str) -> Image.Image:
    page = Image.new("RGB", (WIDTH, _HEIGHT), PAPER)
    draw = ImageDraw.Draw(page)
    seen = Seen(report.faces, report.face, report.square)
    shown = as_picture(draw_overview(_tinted(picture, report), seen))
    shown = contained(shown, (WIDTH, PICTURE_HEIGHT))
    draw.rectangle((0, 0, WIDTH, PICTURE_HEIGHT - 1), fill=FAINT)
    page.paste(shown, ((WIDTH - shown.width) // 2, (PICTURE_HEIGHT - shown.height) // 2))
    title = (EDGE, PICTURE_HEIGHT + 16)
    write(draw, title, report.summary.capitalize(), TITLE_SIZE, COLOURS[report.level])
    write(draw, (WIDTH - EDGE, title[1] + 6), name, SMALL_SIZE, SOFT_INK, anchor="ra")
    allowed = (_LIMITS_X, _TABLE_TOP - 2)
    write(draw, allowed, "allowed", SMALL_SIZE, SOFT_INK, anchor="rd")
    for place, check in enumerate(report.checks):
        _draw_row(draw, check, _TABLE_TOP + ROW * (place + 0.5))
    for place, check in enumerate(report.findings[:MOST_FIXES]):
        _write_fix(draw, check, _FIXES_TOP + _FIX_HEIGHT * place)
    return page


def _draw_row(draw: ImageDraw.ImageDraw, check: Check, middle: float) -> None:
    """Level, name, value and limits, the colour only where something is to be done."""
    fine = check.level == "ok"
    write(draw, (EDGE, middle), check.level, SMALL_SIZE, COLOURS[check.level], anchor="lm")
    ink = SOFT_INK if fine else INK
    write(draw, (_NAME_X, middle), check.name, TEXT_SIZE, ink, anchor="lm")
    space = _LIMITS_X - LIMITS_WIDTH - _VALUE_X - 10
    write(draw, (_VALUE_X, middle), check.measured, TEXT_SIZE, ink, anchor="lm", width=space)
    place = (_LIMITS_X, middle)
    write(draw, place, check.limits, SMALL_SIZE, SOFT_INK, anchor="rm", width=LIMITS_WIDTH)


def _write_fix(draw: ImageDraw.ImageDraw, check: Check, top: float) -> None:
    write(draw, (EDGE, top), check.name, SMALL_SIZE, COLOURS[check.level])
    width = WIDTH - 2 * EDGE
    for line, text in enumerate(wrapped(check.fix, SMALL_SIZE, width, FIX_LINES)):
        write(draw, (EDGE, top + 22 + 21 * line), text, SMALL_SIZE, INK, width=width)


def _tinted(picture: Tensor, report: PreflightReport) -> Tensor:
    """The photograph [1,3,H,W] with the marks of a report laid over it."""
    if report.marks is None or report.square is None or not report.marks.any():
        return picture
    share = MARK_STRENGTH * placed_mask(report.marks.float(), report.square).to(picture.device)
    return picture * (1 - share) + share * picture.new_tensor(MARK).view(1, 3, 1, 1)
