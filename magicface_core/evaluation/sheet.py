"""Contact sheet of a run: source, condition, exact answers and edits of a few identities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .measure import CaseResult, EditJob

MARGIN = 56
HEADER = 18
GAP = 4
INK, PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(results: Sequence[CaseResult], jobs: Sequence[EditJob]) -> Image.Image:
    """Two rows per identity, answers above edits, one column per job.

    The first column holds the source and, below it, what the model is shown of the scene.
    """
    size = results[0].case.source.picture.shape[-1]
    step = 2 * size + GAP
    width = MARGIN + (len(jobs) + 1) * size
    sheet = Image.new("RGB", (width, HEADER + len(results) * step - GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for column, name in enumerate(["source", *(_label(job) for job in jobs)]):
        draw.text((MARGIN + column * size + 3, 2), name, fill=INK, font=font)
    for index, result in enumerate(results):
        top = HEADER + index * step
        _draw_case(sheet, draw, font, result, top, size)
    return sheet


def _draw_case(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    result: CaseResult,
    top: int,
    size: int,
) -> None:
    case = result.case
    draw.text((3, top + 3), f"seed {case.source.seed}\nanswer", fill=INK, font=font)
    draw.text((3, top + size + 3), "edit", fill=INK, font=font)
    sheet.paste(_picture(case.source.picture[0]), (MARGIN, top))
    sheet.paste(_picture(case.source.background[0]), (MARGIN, top + size))
    for column in range(len(case.answers)):
        left = MARGIN + (column + 1) * size
        sheet.paste(_picture(case.answers[column]), (left, top))
        sheet.paste(_picture(result.edits[column]), (left, top + size))


def _label(job: EditJob) -> str:
    return f"{job.name} +4" if job.kind == "single" else job.name


def _picture(image: torch.Tensor) -> Image.Image:
    values = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(values.numpy()))
