"""Contact sheet of a run: sources, exact answers and edits of a few identities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from .measure import CaseResult

MARGIN = 56
HEADER = 18
GAP = 4
ROWS = ("source", "answer", "edit")
INK, PAPER = (30, 30, 30), (255, 255, 255)


def contact_sheet(results: Sequence[CaseResult]) -> Image.Image:
    """Three rows per identity: what the editor sees, the exact answer, the edit; a column per job.

    Results of one seed follow one another; all identities have the same jobs.
    """
    size = results[0].case.source.picture.shape[-1]
    people = list(dict.fromkeys(result.case.source.seed for result in results))
    names = [job.name for result in _of(results, people[0]) for job in result.case.jobs]
    step = len(ROWS) * size + GAP
    shape = (MARGIN + len(names) * size, HEADER + len(people) * step - GAP)
    sheet = Image.new("RGB", shape, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for column, name in enumerate(names):
        draw.text((MARGIN + column * size + 3, 2), name, fill=INK, font=font)
    for index, seed in enumerate(people):
        top = HEADER + index * step
        draw.text((3, top + size // 2), f"seed {seed}", fill=INK, font=font)
        for row, name in enumerate(ROWS):
            draw.text((3, top + row * size + 3), name, fill=INK, font=font)
        _paste_pictures(sheet, _of(results, seed), top, size)
    return sheet


def _of(results: Sequence[CaseResult], seed: int) -> list[CaseResult]:
    return [result for result in results if result.case.source.seed == seed]


def _paste_pictures(sheet: Image.Image, results: Sequence[CaseResult], top: int, size: int) -> None:
    left = MARGIN
    for result in results:
        for answer, edit in zip(result.case.answers, result.edits, strict=True):
            for row, picture in enumerate((result.case.source.picture[0], answer, edit)):
                sheet.paste(_picture(picture), (left, top + row * size))
            left += size


def _picture(image: torch.Tensor) -> Image.Image:
    values = (image.clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(values.numpy()))
