"""What charts and sheets share: colours, fonts, and text that stays in its place.

Text is set in Pillow's own font, so pictures look alike on every machine. Only words it lacks the
letters for (anything but ASCII: a heading in Chinese, say) are set in a font of the system.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from PIL import Image, ImageColor, ImageDraw, ImageFont

from ..pictures.images import to_tensor, to_uint8

INK, SOFT_INK, FAINT, PAPER = "#1d1d22", "#63636e", "#e4e4ea", "#ffffff"
REGION_COLOURS = {"brows": "#3f6fd1", "eyes": "#1f9483", "mouth": "#d45d34"}

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

LONGEST = 500  # letters of one line that are looked at
SMALLEST = 0.7  # share of its size to which text shrinks before it is cut
_ELLIPSIS = "..."
_WORLD_FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSansCJKjp-Regular.otf", "SourceHanSans-Regular.ttc",
    "DroidSansFallbackFull.ttf", "wqy-microhei.ttc", "wqy-zenhei.ttc",
    "msyh.ttc", "meiryo.ttc", "YuGothM.ttc", "malgun.ttf", "simsun.ttc",
    "PingFang.ttc", "Hiragino Sans GB.ttc", "Arial Unicode.ttf", "arial.ttf", "DejaVuSans.ttf",
)  # fmt: skip


@lru_cache(maxsize=256)
def font(size: float, plain: bool = True) -> Font:
    """Pillow's font at `size` pixels, or the first of the system's that know more than ASCII."""
    for name in () if plain else _WORLD_FONTS:
        try:
            return ImageFont.truetype(name, size)
        except OSError:
            continue
    return ImageFont.load_default(size)


def font_for(text: str, size: float) -> Font:
    """A font with the letters of `text`, as far as this machine has one."""
    return font(size, plain=text.isascii())


def text_width(text: str, size: float) -> float:
    """Pixels that one line takes."""
    return font_for(text, size).getlength(text)


def line_height(size: float) -> int:
    """Pixels from one line to the next."""
    return round(1.3 * size)


def write(
    draw: ImageDraw.ImageDraw,
    place: tuple[float, float],
    text: str,
    size: float,
    ink: str = INK,
    *,
    anchor: str = "la",
    width: float | None = None,
) -> None:
    """One line of text at `place` (Pillow's anchors), shrunk and then cut to fit in `width`."""
    text = " ".join(text.split())
    if width is not None:
        text, size = fitted(text, size, width)
    draw.text(place, text, fill=ink, font=font_for(text, size), anchor=anchor)


def fitted(text: str, size: float, width: float) -> tuple[str, float]:
    """`text` and a size at which it is at most `width` pixels long, cut where it must be."""
    text = text[:LONGEST]
    smaller, smallest = size, SMALLEST * size
    while smaller > smallest and text_width(text, smaller) > width:
        smaller = max(smallest, smaller - 0.5)
    while text and text_width(text, smaller) > width:
        kept = text.removesuffix(_ELLIPSIS)[:-1]
        text = kept.rstrip() + _ELLIPSIS if kept else ""
    return text, smaller


def wrapped(text: str, size: float, width: float, most: int) -> list[str]:
    """`text` broken at its spaces into lines of `width` pixels, cut after `most` of them."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and text_width(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} {_ELLIPSIS}"]
    return lines


def mixed(colour: str, share: float, paper: str = PAPER) -> str:
    """`colour` as thin paint: `share` 1 covers the paper, 0 leaves it blank."""
    pairs = zip(ImageColor.getrgb(paper)[:3], ImageColor.getrgb(colour)[:3], strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def contained(picture: Image.Image, space: tuple[int, int]) -> Image.Image:
    """`picture` as large as it fits into `space` (width, height), however long and thin it is."""
    scale = min(space[0] / picture.width, space[1] / picture.height)
    size = (max(round(picture.width * scale), 1), max(round(picture.height * scale), 1))
    return picture.resize(size, Image.Resampling.LANCZOS)


def as_picture(image: torch.Tensor) -> Image.Image:
    """A picture [3,H,W] or [1,3,H,W] with values 0..1 as PIL RGB."""
    return Image.fromarray(to_uint8(image))


def as_tensor(image: Image.Image) -> torch.Tensor:
    """PIL RGB as [1,3,H,W] float32 0..1."""
    return to_tensor(np.asarray(image))
