"""Reading of ``painted_sets``: edits as tensors, with what is light and dark in opened mouths."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.aus import AU_ORDER
from magicface_core.network.painter import LUMA

from ..synthetic.head.regions import FaceClass
from .edit_sets import DataError
from .painted_sets import COLUMNS, ROWS, SIZE

HALF = 2
"""Frames are used at half their size: the painter's scale."""
SCALE = SIZE // HALF
LIGHT = 32
"""Added to the class of a pixel of the mouth's inside that is light."""
LEAST_PIXELS = 50
"""Of a mouth, to tell light from dark."""
MOUTH_UNITS = [AU_ORDER.index(number) for number in (12, 15, 17, 20, 25, 26)]
OTHERS = 0.3
"""Chance of an edit that changes no unit of the mouth by more than 1 to be taken where drawn."""


@dataclass(frozen=True)
class PaintedEdits:
    """B edits at the painter's scale.

    source, target    [B,3,S,S] in -1..1, the frame and the exact answer
    classes, before   [B,1,S,S] `FaceClass` of target and source, + `LIGHT`
    vectors, change   the denoiser's answer, [B,2,m,m] and [B,3,R,R]
    """

    source: Tensor
    target: Tensor
    classes: Tensor
    before: Tensor
    vectors: Tensor
    change: Tensor

    def mirrored(self, rows: Tensor) -> PaintedEdits:
        """The same with ``rows`` [B] bool turned left to right."""
        flipped = {
            name: torch.where(rows[:, None, None, None], value.flip(-1), value)
            for name, value in vars(self).items()
        }
        sign = torch.where(rows, -1.0, 1.0)[:, None, None]
        flipped["vectors"] = torch.stack(
            [flipped["vectors"][:, 0] * sign, flipped["vectors"][:, 1]], dim=1
        )
        return PaintedEdits(**flipped)

    def recoloured(self, mixes: Tensor) -> PaintedEdits:
        """The same in colours mixed by [B,3,3], linear in 0..1, so that the change follows."""

        def mixed(value: Tensor) -> Tensor:
            return torch.einsum("bij,bjhw->bihw", mixes, value)

        return PaintedEdits(
            mixed(self.source + 1) - 1,
            mixed(self.target + 1) - 1,
            self.classes,
            self.before,
            self.vectors,
            mixed(self.change),
        )


class PaintedSets:
    """All edits of a folder of shards.

    Raises:
        DataError: there are none.
    """

    def __init__(self, folder: Path) -> None:
        self.shards = [_read(path) for path in sorted(folder.glob("shard_*.npz"))]
        self.rows = [
            (number, person, edit)
            for number, shard in enumerate(self.shards)
            for person in range(len(shard["pairs"]))
            for edit in range(shard["pairs"].shape[1])
        ]
        if not self.rows:
            raise DataError(
                f"{folder} holds no shards; make them with "
                "python -m magicface_training.data.painted_sets"
            )

    def __len__(self) -> int:
        return len(self.rows)

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Numbers [count] of random edits, most of them of the mouth."""
        found: list[int] = []
        while len(found) < count:
            number = int(rng.integers(len(self)))
            shard, person, edit = self.rows[number]
            au = self.shards[shard]["au"][person]
            start, end = self.shards[shard]["pairs"][person, edit]
            if np.abs(au[end] - au[start])[MOUTH_UNITS].max() > 1 or rng.random() < OTHERS:
                found.append(number)
        return np.array(found)

    def batch(self, numbers: np.ndarray) -> PaintedEdits:
        """The edits of these numbers."""
        rows = [self._row(int(number)) for number in numbers]
        return PaintedEdits(*(torch.stack(column).float() for column in zip(*rows, strict=True)))

    def _row(self, number: int) -> tuple[Tensor, ...]:
        place, person, edit = self.rows[number]
        shard = self.shards[place]
        start, end = shard["pairs"][person, edit]
        pictures = (_frame(shard["image"][person, frame]) / 127.5 - 1 for frame in (start, end))
        classes = (_frame(shard["classes"][person, frame][..., None]) for frame in (end, start))
        answers = (torch.from_numpy(shard[name][person, edit]) for name in ("vectors", "change"))
        return (*pictures, *classes, *answers)


def _read(path: Path) -> dict[str, np.ndarray]:
    """A shard at the painter's scale, light pixels marked."""
    with np.load(path) as file:
        shard = {name: file[name] for name in file.files}
    for image, classes in zip(shard["image"], shard["classes"], strict=True):
        mark_light(image, classes)
    image = shard["image"].astype(np.uint16)
    image = image[..., ::2, :, :] + image[..., 1::2, :, :]
    image = image[..., ::2, :] + image[..., 1::2, :]
    shard["image"] = ((image + HALF) // HALF**2).astype(np.uint8)
    shard["classes"] = np.ascontiguousarray(shard["classes"][..., ::HALF, ::HALF])
    return shard


def mark_light(image: np.ndarray, classes: np.ndarray) -> None:
    """Mark the lighter of two groups of a person's mouth pixels in ``classes`` [E,H,W], in place.

    image is [E,H,W,3] uint8.
    """
    inside = classes == FaceClass.MOUTH
    light = image[inside] @ np.array(LUMA)
    if len(light) >= LEAST_PIXELS:
        classes[inside] += np.where(light > otsu(light), LIGHT, 0).astype(classes.dtype)


def otsu(values: np.ndarray) -> float:
    """The limit that parts values into the two groups whose means are furthest apart.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    counts, edges = np.histogram(values, 64)
    below = np.cumsum(counts)[:-1]
    above = len(values) - below
    sums = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    apart = sums[:-1] / below.clip(1) - (sums[-1] - sums[:-1]) / above.clip(1)
    return float(edges[1:-1][(below * above * apart**2).argmax()])


def _frame(part: np.ndarray) -> Tensor:
    """The kept part [H,W,C] uint8 as a whole frame [C,S,S] float, continued at its edges."""
    whole = torch.from_numpy(part).permute(2, 0, 1)[None].float()
    left, top = COLUMNS.start // HALF, ROWS.start // HALF
    right, bottom = SCALE - COLUMNS.stop // HALF, SCALE - ROWS.stop // HALF
    return F.pad(whole, (left, right, top, bottom), mode="replicate")[0]
