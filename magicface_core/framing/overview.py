"""A picture of what was found: every face framed and numbered, the chosen one standing out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from ..framing.boxes import box_of
from ..pictures.images import to_uint8
from ..pictures.resampling import resample

if TYPE_CHECKING:
    from ..perception import Face
    from ..pictures.crop import Crop

MOST_PICTURES = 16
LONGEST_SIDE = 768
SHORTEST_LONG_SIDE = 512
"""Smaller pictures are enlarged to this, to leave room for the numbers."""

OVERSAMPLING = 3
"""Lines and numbers are drawn so many times larger and reduced, which smooths their edges."""

CHOSEN, OTHER, DARK = (255, 200, 40), (240, 243, 250), (20, 22, 28)
SHADE = (*DARK, 100)
"""Laid over what lies outside the square that is cut out."""

HALO = (*DARK, 110)
"""Around lines, so that they show on light and dark pictures alike."""

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Seen:
    """What was found in a picture.

    faces   all, in the order of their numbers
    chosen  the one of them to cut out; None if none could be chosen
    square  what is cut out around it
    """

    faces: Sequence[Face]
    chosen: Face | None
    square: Crop | None


def draw_overview(picture: Tensor, seen: Seen, caption: str = "") -> Tensor:
    """A picture with its faces framed and numbered, darker outside the square that is cut out.

    Args:
        picture: [1,3,H,W] float 0..1.
        seen: what was found in it.
        caption: written in the lower left corner.

    Returns:
        [1,3,h,w] float 0..1 on the CPU, the longer side 512 to 768 pixels.
    """
    height, width = picture.shape[-2:]
    longest = max(height, width)
    scale = min(max(longest, SHORTEST_LONG_SIDE), LONGEST_SIDE) / longest
    small = _scaled(picture, scale)
    marks = _Marks((small.shape[-1], small.shape[-2]), scale)
    if seen.square is not None:
        marks.shade_outside(seen.square)
    numbered = list(enumerate(seen.faces))
    # The chosen face last, on top of others.
    for number, face in sorted(numbered, key=lambda entry: entry[1] is seen.chosen):
        marks.frame(box_of(face), str(number), CHOSEN if face is seen.chosen else OTHER)
    if caption:
        marks.caption(caption)
    drawn = marks.over(Image.fromarray(to_uint8(small)))
    return torch.from_numpy(np.array(drawn)).permute(2, 0, 1)[None].float() / 255


def _scaled(picture: Tensor, scale: float) -> Tensor:
    """[1,3,H,W] at [1,3,h,w] on the CPU."""
    height, width = picture.shape[-2:]
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    cell = max(1, math.floor(0.5 / scale))
    if cell > 1:  # whole cells are averaged first: fast, and without a copy of a large picture
        picture = F.avg_pool2d(picture, cell, ceil_mode=True, count_include_pad=False)
    matrix = np.diag([width / cell / size[1], height / cell / size[0], 0.0])[:2]
    return resample(picture, matrix, size, interpolation="bicubic").clamp(0, 1).cpu()


class _Marks:
    """A transparent layer over a picture of `size` (width, height), drawn in source pixels."""

    def __init__(self, size: tuple[int, int], scale: float) -> None:
        self._size = size
        self._scale = scale * OVERSAMPLING
        self._layer = Image.new("RGBA", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), 0)
        self._draw = ImageDraw.Draw(self._layer)
        self._line = max(size) / 300 * OVERSAMPLING
        self._text = max(size) / 28 * OVERSAMPLING
        self._font = ImageFont.load_default(self._text)

    def over(self, picture: Image.Image) -> Image.Image:
        """The picture (RGB) under the layer."""
        layer = self._layer.reduce(OVERSAMPLING)
        return Image.alpha_composite(picture.convert("RGBA"), layer).convert("RGB")

    def shade_outside(self, square: Crop) -> None:
        """Darkens what is not cut out, and outlines what is."""
        corners = square.to_source(np.array([[0.0, 0.0], [1, 0], [1, 1], [0, 1]]), 1) * self._scale
        outline = [(x, y) for x, y in corners.tolist()]
        self._draw.rectangle((0, 0, *self._layer.size), fill=SHADE)
        self._draw.polygon(outline, fill=(*DARK, 0))
        self._draw.line([*outline, outline[0]], fill=(*OTHER, 200), width=round(self._line / 2))

    def frame(self, box: np.ndarray, label: str, colour: Colour) -> None:
        """A frame around a face, with its number at the upper left corner."""
        x1, y1, x2, y2 = (box * self._scale).tolist()
        line = self._line * (1.5 if colour == CHOSEN else 1.0)
        for grow, width, ink in ((line / 2, 2 * line, HALO), (0, line, (*colour, 255))):
            self._draw.rounded_rectangle(
                (x1 - grow, y1 - grow, x2 + grow, y2 + grow),
                radius=3 * self._line,
                outline=ink,
                width=max(1, round(width)),
            )
        self._label(label, (x1, y1), colour, DARK)

    def caption(self, text: str) -> None:
        """Text in the lower left corner."""
        self._label(text, (0.0, float(self._layer.height)), DARK, OTHER)

    def _label(self, text: str, corner: tuple[float, float], paper: Colour, ink: Colour) -> None:
        """Text on a plate that sits on top of `corner`, moved inside the picture."""
        rim = 0.3 * self._text
        height = 0.72 * self._text + 2 * rim  # of capitals and figures: the same for all
        width = max(self._draw.textlength(text, self._font) + 2 * rim, height)
        x = min(max(corner[0] - self._line, self._line), self._layer.width - width - self._line)
        y = min(max(corner[1] - height, self._line), self._layer.height - height - self._line)
        self._draw.rounded_rectangle((x, y, x + width, y + height), rim, fill=(*paper, 255))
        self._draw.text(
            (x + width / 2, y + height - rim), text, (*ink, 255), self._font, anchor="ms"
        )
