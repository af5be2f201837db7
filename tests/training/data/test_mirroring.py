"""Mirrored background + pose pictures have the dots that drawing on the mirrored face gives."""

from __future__ import annotations

import numpy as np
from magicface_training.data.mirroring import mirror_background
from pair_shards import made_up_points, smooth_picture, with_dots

from magicface_core.framing.background import CANVAS_POINTS5, DOT_COLORS

SIZE = 512
SWAPPED = [1, 0, 2, 4, 3]  # eyes, nose tip, mouth corners of the mirrored face


def mirrored_points(points: np.ndarray) -> np.ndarray:
    return np.stack([SIZE - 1 - points[:, 0], points[:, 1]], axis=1)


def drawn(
    target: np.ndarray, mask: np.ndarray, jaw: np.ndarray, points5: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The mirrored background, and the one drawn on the mirrored pictures."""
    background = with_dots(target, mask, jaw, points5)
    found = mirror_background(background, target, np.uint8(255) * mask)
    redrawn = with_dots(
        target[:, ::-1],
        mask[:, ::-1],
        mirrored_points(jaw)[::-1],
        mirrored_points(points5)[SWAPPED],
    )
    return found, redrawn


def face_on_the_canvas() -> tuple[np.ndarray, np.ndarray]:
    """Symmetric points on a grid on which published rounding does not depend on the side.

    The picture is the canvas twice enlarged, so the jaw falls on whole canvas pixels.
    """
    centre = (SIZE - 1) / 2
    points5 = 2 * CANVAS_POINTS5
    points5[:, 0] = centre + (points5[:, 0] - points5[SWAPPED, 0]) / 2
    points5[:, 1] = (points5[:, 1] + points5[SWAPPED, 1]) / 2
    jaw, _ = made_up_points(SIZE)
    jaw = np.stack([np.rint(jaw[:, 0] - centre) + centre, np.rint(jaw[:, 1])], axis=1)
    jaw[9:] = mirrored_points(jaw[:8])[::-1]
    jaw[8, 0] = centre
    return jaw, points5


def test_dots_change_sides_and_colours() -> None:
    """On black, apart from the rounding of places, both ways give the same picture."""
    rng = np.random.default_rng(0)
    target = smooth_picture(rng, SIZE)
    mask = np.ones((SIZE, SIZE), bool)
    found, redrawn = drawn(target, mask, *face_on_the_canvas())
    for color in range(17):
        centres = [dot_centre(picture, color) for picture in (found, redrawn)]
        assert np.abs(centres[0] - centres[1]).max() < 2.0 + 1e-6  # a canvas pixel
    assert abs(int(found.sum()) - int(redrawn.sum())) < 0.01 * redrawn.sum()


def dot_centre(picture: np.ndarray, color: int) -> np.ndarray:
    """Centre (x, y) of the pixels that show a dot's full colour."""
    places = np.argwhere(np.abs(picture.astype(int) - DOT_COLORS[color]).max(axis=2) <= 2)
    assert len(places) >= 4, f"dot {color} is missing"
    centre: np.ndarray = places.mean(axis=0)[::-1]
    return centre


def test_twice_mirrored_is_the_original() -> None:
    """Also where dots lie on kept skin, and are clipped there."""
    rng = np.random.default_rng(1)
    target = smooth_picture(rng, SIZE)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[100:, 100:380] = True  # the right end of the jaw lies outside
    background = with_dots(target, mask, *made_up_points(SIZE))
    assert (background != np.where(mask[..., None], 0, target))[~mask].any()
    bits = np.uint8(255) * mask
    once = mirror_background(background, target, bits)
    twice = mirror_background(once, target[:, ::-1], bits[:, ::-1])
    assert (background == 255)[~mask].any()
    assert not np.array_equal(once, background[:, ::-1])
    assert np.abs(twice.astype(int) - background).max() <= 2


def test_without_dots_it_is_a_flip() -> None:
    target = smooth_picture(np.random.default_rng(2), 64)
    mask = np.zeros((64, 64), np.uint8)
    mask[20:50, 10:40] = 255
    background = np.where(mask[..., None] > 0, 0, target).astype(np.uint8)
    assert np.array_equal(mirror_background(background, target, mask), background[:, ::-1])


def test_colours_run_against_the_flip() -> None:
    """A plain flip would leave the first colour at the image's right."""
    target = smooth_picture(np.random.default_rng(3), SIZE)
    mask = np.ones((SIZE, SIZE), bool)
    found, _ = drawn(target, mask, *made_up_points(SIZE))
    first, last = dot_centre(found, 0), dot_centre(found, 16)
    assert first[0] < SIZE / 2 < last[0]
