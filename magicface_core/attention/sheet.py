"""Attention maps as one sheet: a row for each kind of map, a column for each step.

Below them a row for each point: where it looks in the identity image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageColor, ImageDraw
from torch import Tensor

from ..drawing.sheets import Tile, labelled_sheet
from ..drawing.text import FAINT, INK, PAPER, SOFT_INK, as_picture, line_height, wrapped, write
from ..errors import ImageError
from ..network.parts import PROMPT
from ..pictures.images import MAX_PIXELS
from ..pictures.resampling import sized
from .maps import AttentionMaps, Kind, Point

TILE = 240
MOST_STEPS = 5
OVERSAMPLING = 2
"""Maps are drawn so many times larger and reduced, which smooths rings and letters."""

COLOURS = ("#26205c", "#2f6fc4", "#35b79f", "#f2d544", "#d4301f")
"""From the least to the most."""

COVER, LEAST_COVER = 0.6, 0.15
"""Share of the colours over the picture, which is grey below them; the least, where they say 0."""

TITLES: dict[Kind, str] = {
    "self": "Self-attention",
    "cross": "Cross-attention",
    "reference": "Reference attention",
}
LOOKS_HEADING = "Where a point of the edit looks in the identity image"


@dataclass(frozen=True)
class _Scale:
    """From values to colours, linear or by the square root, which shows faint values too."""

    low: float
    high: float
    root: bool = False

    def share(self, values: Tensor) -> Tensor:
        """0..1 of the colours for values."""
        shares = ((values - self.low) / max(self.high - self.low, 1e-6)).clamp(0, 1)
        return shares.sqrt() if self.root else shares

    def label(self, share: float) -> str:
        """The value of a place on the scale."""
        value = self.low + (share**2 if self.root else share) * (self.high - self.low)
        return f"{value:.0f}x" if self.root else f"{value:.2g}"

    def cover(self, shares: Tensor) -> Tensor:
        """How much of the picture the colours hide."""
        return LEAST_COVER + (COVER - LEAST_COVER) * (shares if self.root else 1 + 0 * shares)


def attention_sheet(
    maps: AttentionMaps,
    edited: Tensor,
    identity: Tensor,
    *,
    heading: str = "Attention",
    most_steps: int = MOST_STEPS,
    tile: int = TILE,
) -> Image.Image:
    """All maps over the pictures that they belong to.

    Args:
        maps: of the edit.
        edited: [1,3,S,S] float 0..1, the edited face.
        identity: [1,3,S,S] float 0..1, the face before the edit, which the ID encoder reads.
        heading: words above.
        most_steps: columns; of more steps some are shown, evenly from the first to the last.
        tile: side in pixels of one map.

    Raises ImageError when the sheet would have more pixels than a picture may.
    """
    after, before = (sized(one.float().cpu(), OVERSAMPLING * tile) for one in (edited, identity))
    painter = _Painter(maps, after, before, shown_steps(maps, most_steps))
    kinds = [kind for kind in TITLES if kind != "reference" or maps.has_reference]
    parts = [labelled_sheet([painter.row(kind) for kind in kinds], heading, tile)]
    if maps.has_reference and maps.points:
        rows = painter.rows_of_points()
        parts.append(labelled_sheet(rows, LOOKS_HEADING, tile))
    return _stacked(parts)


def shown_steps(maps: AttentionMaps, most: int = MOST_STEPS) -> list[int]:
    """Numbers of at most `most` steps, the first and the last among them."""
    count = len(maps.timesteps)
    if count <= most:
        return list(range(count))
    return sorted({round(n * (count - 1) / max(most - 1, 1)) for n in range(most)})


def heat_overlay(picture: Image.Image, values: Tensor, cover: Tensor | None = None) -> Image.Image:
    """Values [H,W] 0..1 as colours over the picture (RGB, W x H), which turns grey.

    cover [H,W] 0..1 is how much of it they hide.
    """
    anchors = torch.tensor([ImageColor.getrgb(name)[:3] for name in COLOURS], dtype=torch.float32)
    place = values.float().clamp(0, 1) * (len(anchors) - 1)
    below = place.floor().long().clamp(max=len(anchors) - 2)
    colours = torch.lerp(anchors[below], anchors[below + 1], (place - below)[..., None])
    hidden = torch.full_like(place, COVER) if cover is None else cover
    mask = Image.fromarray((255 * hidden).round().byte().numpy())
    grey = picture.convert("L").convert("RGB")
    return Image.composite(Image.fromarray(colours.round().byte().numpy()), grey, mask)


class _Painter:
    """Rows of tiles of one edit."""

    def __init__(
        self, maps: AttentionMaps, edited: Tensor, identity: Tensor, steps: Sequence[int]
    ) -> None:
        self.maps, self.steps = maps, list(steps)
        self.edited, self.identity = as_picture(edited), as_picture(identity)
        self.size = self.edited.width

    def row(self, kind: Kind) -> list[Tile]:
        """What a kind of map is about with its colours, then each step, then the mean of all."""
        values = self.maps.picture(kind, self.size)
        scale = _Scale(float(values.min()), float(values.max()))
        legend = {"self": self.edited, "cross": _text_tile(PROMPT, self.size)}
        about = {
            "self": "share on its own tokens",
            "cross": "what the prompt adds",
            "reference": "share on the identity",
        }
        first = _with_colours(legend.get(kind, self.identity), scale)
        tiles = [Tile(first, TITLES[kind], about[kind])]
        for title, value in self._columns(values):
            picture = _coloured(self.edited, value, scale)
            tiles.append(Tile(picture, title, f"mean {float(value.mean()):.2g}"))
        return tiles

    def rows_of_points(self) -> list[list[Tile]]:
        """A row for each point: it on the edit, then where it looks."""
        looks, shares = self.maps.looks(self.size), self.maps.shares()
        return [
            self._row_of_point(point, looks[:, number], shares[:, number])
            for number, point in enumerate(self.maps.points)
        ]

    def _row_of_point(self, point: Point, looks: Tensor, shares: Tensor) -> list[Tile]:
        scale = _Scale(0.0, float(looks.max()), root=True)
        first = _with_colours(_marked(self.edited, point), scale)
        tiles = [Tile(first, point.name.capitalize(), "1x: evenly spread")]
        for (title, value), (_, share) in zip(
            self._columns(looks), self._columns(shares), strict=True
        ):
            picture = _marked(_coloured(self.identity, value, scale), point)
            tiles.append(Tile(picture, title, f"{100 * float(share):.0f} % of its attention"))
        return tiles

    def _columns(self, values: Tensor) -> list[tuple[str, Tensor]]:
        """Title and values of each column of [T,...]; the last is the mean of all steps."""
        steps = [(f"t = {self.maps.timesteps[step]:.0f}", values[step]) for step in self.steps]
        if len(values) == 1:
            return steps
        return [*steps, (f"mean of {len(values)} steps", values.mean(0))]


def _text_tile(text: str, size: int) -> Image.Image:
    """A faint square with a text in its middle."""
    tile = Image.new("RGB", (size, size), FAINT)
    letters = size * 0.09
    lines = wrapped(f'"{text}"', letters, 0.8 * size, 4)
    top = (size - len(lines) * line_height(letters)) / 2
    for number, line in enumerate(lines):
        place = (size / 2, top + number * line_height(letters))
        write(ImageDraw.Draw(tile), place, line, letters, SOFT_INK, anchor="ma")
    return tile


def _coloured(picture: Image.Image, values: Tensor, scale: _Scale) -> Image.Image:
    shares = scale.share(values)
    return heat_overlay(picture, shares, scale.cover(shares))


def _with_colours(picture: Image.Image, scale: _Scale) -> Image.Image:
    """The picture with a bar of the colours along its foot, and what they stand for."""
    picture, size = picture.copy(), picture.width
    height, letters = round(size * 0.1), size * 0.075
    top = size - height - height // 2
    shares = torch.linspace(0, 1, size).expand(height // 2, size)
    paper = Image.new("RGB", (size, height // 2), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, top, size, size), fill=PAPER)
    picture.paste(heat_overlay(paper, shares, scale.cover(shares)), (0, top))
    for share, anchor in ((0.0, "lm"), (0.5, "mm"), (1.0, "rm")):
        place = (size * (0.01 + 0.98 * share), size - height / 2)
        write(draw, place, scale.label(share), letters, INK, anchor=anchor)
    return picture


def _marked(picture: Image.Image, point: Point) -> Image.Image:
    """The picture with a ring at the point, white within black."""
    picture = picture.copy()
    draw, size = ImageDraw.Draw(picture), picture.width
    x, y = point.x * size, point.y * size
    for radius, ink, width in ((0.046, INK, 0.016), (0.042, PAPER, 0.008)):
        box = (x - radius * size, y - radius * size, x + radius * size, y + radius * size)
        draw.ellipse(box, outline=ink, width=round(width * size))
    return picture


def _stacked(parts: Sequence[Image.Image]) -> Image.Image:
    """Sheets below each other."""
    width, height = max(part.width for part in parts), sum(part.height for part in parts)
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"The sheet would be {width} x {height} pixels, more than the {MAX_PIXELS:,} allowed; "
            "use smaller tiles, or fewer points."
        )
    sheet, top = Image.new("RGB", (width, height), PAPER), 0
    for part in parts:
        sheet.paste(part, (0, top))
        top += part.height
    return sheet
