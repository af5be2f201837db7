"""Backgrounds compared without what is blacked out."""

from __future__ import annotations

import numpy as np
import pytest
from made_up_frames import png
from magicface_training.shards.backdrop import CELLS, backdrop, backdrop_distances, cells_of

SIZE = 64


def picture(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (4, 4, 3), np.uint8).repeat(SIZE // 4, 0).repeat(SIZE // 4, 1)


def covered(left: int, right: int) -> np.ndarray:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[:, left:right] = True
    return mask


def made(pixels: np.ndarray, mask: np.ndarray) -> bytes:
    return backdrop(png(pixels * ~mask[..., None]), png(mask))


def distances(*backdrops: bytes) -> np.ndarray:
    return backdrop_distances(*cells_of(list(backdrops)))


def test_same_room_behind_another_mask_is_the_same() -> None:
    room = picture(0)
    found = distances(made(room, covered(0, 32)), made(room, covered(16, 48)))
    np.testing.assert_allclose(found, 0, atol=1e-3)


def test_distance_is_the_root_mean_square_of_visible_cells() -> None:
    black, grey = np.zeros((SIZE, SIZE, 3), np.uint8), np.full((SIZE, SIZE, 3), 51, np.uint8)
    half_grey = black.copy()
    half_grey[: SIZE // 2] = 51
    nothing = covered(0, 0)
    found = distances(made(black, nothing), made(grey, nothing), made(half_grey, covered(0, 32)))
    assert found[0, 1] == pytest.approx(0.2, abs=1e-5)
    assert found[0, 2] == pytest.approx(0.2 / np.sqrt(2), abs=1e-5)


def test_partly_covered_cells_keep_their_colour() -> None:
    """Two of a cell's four columns are black because they are masked, not because it is dark."""
    cell = SIZE // CELLS
    half = np.arange(SIZE) % cell < cell // 2
    grey = np.full((SIZE, SIZE, 3), 200, np.uint8)
    mask = np.broadcast_to(half[None], (SIZE, SIZE)).copy()
    colours, counts = cells_of([made(grey, mask)])
    assert counts.all()
    np.testing.assert_allclose(colours * 255, 200, atol=1)


def test_nothing_in_common_is_no_difference() -> None:
    found = distances(made(picture(1), covered(0, 32)), made(picture(2), covered(32, 64)))
    assert found[0, 1] == 0


def test_another_room_differs() -> None:
    nothing = covered(0, 0)
    assert distances(made(picture(1), nothing), made(picture(2), nothing))[0, 1] > 0.2
