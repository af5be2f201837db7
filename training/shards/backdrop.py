"""What lies behind a face, small enough to compare all frames of a person with each other.

The background picture is averaged over 16 x 16 cells of the pixels that are not blacked out. Two
frames differ in background where their cells do; a moving camera or crop counts as well as another
room.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

CELLS = 16
LEAST_VISIBLE = 0.5  # share of a cell's pixels that must be visible for it to count


def backdrop(background: bytes, mask: bytes) -> bytes:
    """Cells of a background picture (PNG) and its mask (PNG, 1 where it is black).

    Returns CELLS*CELLS*4 bytes: red, green, blue, and 255 where the cell counts, else 0.
    """
    visible = 1 - _pixels(mask, "L") / 255
    colours = _pixels(background, "RGB")
    share = _averaged(visible)
    means = [
        _averaged(colours[..., c] * visible) / np.maximum(share, LEAST_VISIBLE) for c in range(3)
    ]
    counts = share >= LEAST_VISIBLE
    cells = np.stack([*means, np.full_like(share, 255)], axis=-1) * counts[..., None]
    return cells.round().astype(np.uint8).tobytes()


def cells_of(backdrops: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Backdrops as colours [N,cells,3] float32 0..1, and which cells count [N,cells] float32."""
    cells = np.frombuffer(b"".join(backdrops), np.uint8).reshape(len(backdrops), -1, 4)
    values = cells.astype(np.float32) / 255
    return values[..., :3], values[..., 3]


def backdrop_distances(colours: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Root mean square difference 0..1 over the cells that count in both: [N,N] float32.

    Zero where two frames have no cell in common.
    """
    shared = counts @ counts.T
    weighted = colours * counts[..., None]
    flat = weighted.reshape(len(weighted), -1)
    squares = (weighted * colours).sum(axis=2) @ counts.T
    total = squares + squares.T - 2 * flat @ flat.T
    distances = np.sqrt(np.maximum(total, 0) / np.maximum(3 * shared, 1))
    return np.where(shared > 0, distances, 0).astype(np.float32)


def _pixels(png: bytes, mode: str) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert(mode), np.float32)


def _averaged(values: np.ndarray) -> np.ndarray:
    """Means over the cells of [H,W], whose sides need not be multiples of CELLS."""
    small = Image.fromarray(values).resize((CELLS, CELLS), Image.Resampling.BOX)
    return np.asarray(small, np.float32)
