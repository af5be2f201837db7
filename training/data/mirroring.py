"""Mirror a background + pose picture.

Its 17 jaw dots run through fixed colours from the image-left ear to the image-right one, so that a
mirrored picture needs them in the opposite order. What the dots added is the difference between the
picture and the target, black in the mask; each of its pixels is a share of one dot's colour, and
gets the same share of the colour of the dot across. Published drawing rounds dots to a canvas of
half the size, so drawing them anew from mirrored points may move a dot by up to a canvas pixel;
apart from that both ways agree (which the tests show).
"""

from __future__ import annotations

import numpy as np

from magicface_core.framing.background import CANVAS, DOT_COLORS, DOT_RADIUS

FULL = 255
CLEAR = 0.5  # share of a colour from which it is told apart from its neighbours'


def mirror_background(background: np.ndarray, target: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The mirrored background + pose picture.

    Args:
        background: [H,W,3] uint8, the target with the mask black, plus dots, clipped.
        target: [H,W,3] uint8.
        mask: [H,W] uint8, above 127 where the target was blacked out.
    """
    kept = np.where(mask[..., None] > FULL // 2, 0, target).astype(np.int16)
    added = background.astype(np.int16) - kept
    mirrored = kept[:, ::-1].copy()
    places = np.argwhere((added > 0).any(axis=2))
    if len(places):
        rows, columns = places.T
        free = background[rows, columns] < FULL  # elsewhere the sum was clipped
        reach = 2 * DOT_RADIUS * len(mask) / CANVAS
        dots = _opposite(places, added[rows, columns].clip(0).astype(np.float32), free, reach)
        mirrored[rows, background.shape[1] - 1 - columns] += dots
    return mirrored.clip(0, FULL).astype(np.uint8)


def _opposite(places: np.ndarray, added: np.ndarray, free: np.ndarray, reach: float) -> np.ndarray:
    """Colours int16 [N,3] of the dots across for dot pixels at places [N,2] (row, column).

    ``free`` [N,3] tells channels that were not clipped; ``reach`` is a dot's radius and more.
    """
    colors = np.array(DOT_COLORS, np.float32)
    share, error = _shares(added, free.astype(np.float32), colors)
    dot = error.argmin(axis=1)
    clear = np.flatnonzero((share[np.arange(len(dot)), dot] >= CLEAR) & free[:, 1:].all(axis=1))
    if len(clear):  # a faint pixel belongs to the dot of a clear one beside it
        away = ((places[:, None] - places[None, clear]) ** 2).sum(axis=2)
        near = away.min(axis=1) <= reach**2
        dot[near] = dot[clear[away[near].argmin(axis=1)]]
    across = colors[len(colors) - 1 - dot]
    return np.rint(share[np.arange(len(dot)), dot, None] * across).astype(np.int16)


def _shares(
    added: np.ndarray, free: np.ndarray, colors: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares share of each colour in each pixel, 0 to 1, and the error that it leaves.

    Of a clipped channel is known that at least this much was added.
    """
    extent = free @ (colors**2).T
    share = (free * added) @ colors.T / np.maximum(extent, 1)
    share = np.where(extent > 0, share, 1).clip(0, 1)
    short = added[:, None] - share[..., None] * colors
    short = np.where(free[:, None] > 0, short, short.clip(0))
    return share, (short**2).sum(axis=2)
