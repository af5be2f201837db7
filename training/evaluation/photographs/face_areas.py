"""Areas of a face by its mesh, and what a photograph shows in its mouth."""

from __future__ import annotations

import math

import numpy as np
import torch
from PIL import Image, ImageDraw

OUTER_LIPS: tuple[int, ...] = (
    *(61, 185, 40, 39, 37, 0, 267, 269, 270, 409),
    *(291, 375, 321, 405, 314, 17, 84, 181, 91, 146),
)
INNER_LIPS: tuple[int, ...] = (
    *(78, 191, 80, 81, 82, 13, 312, 311, 310, 415),
    *(308, 324, 318, 402, 317, 14, 87, 178, 88, 95),
)
EYES: tuple[int, ...] = (
    *(33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
    *(263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249),
)
CHEEKS: tuple[int, ...] = (
    *(50, 101, 36, 205, 187, 147, 123, 116, 117, 118, 206, 203, 207, 216, 212),
    *(280, 330, 266, 425, 411, 376, 352, 345, 346, 347, 426, 423, 427, 436, 432),
)
BONY: tuple[int, ...] = (
    *(168, 6, 197, 195, 8, 9, 151, 10, 109, 338, 67, 297, 103, 332, 54, 284),
    *(133, 362, 33, 263, 127, 356, 234, 454, 21, 251),
)
"""Bridge of the nose, forehead, corners of the eyes, temples: what no expression moves far."""
EXPRESSIVE: tuple[int, ...] = (*OUTER_LIPS, *INNER_LIPS, *EYES, *CHEEKS)
"""What a smile moves."""
OVAL: tuple[int, ...] = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
NOSE_BASE = 2
EYE_CORNERS = (33, 263)
LUMA = np.array([0.299, 0.587, 0.114])
LEAST_PARTED = 0.035
"""Height of the opening between the lips, over the distance of the eyes' outer corners."""
LIGHTER = 0.06
"""What a row of teeth is lighter than the lips (brightness 0..1)."""
ROW_SHARE = 0.2
"""Share of the opening that a row of teeth takes up at least."""


def polygon(points: np.ndarray, size: int) -> np.ndarray:
    """Bool [size,size]: inside of points [N,2] in pixels."""
    mask = Image.new("1", (size, size))
    ImageDraw.Draw(mask).polygon([(float(x), float(y)) for x, y in points], fill=1)
    return np.asarray(mask)


def lower_face(mesh: np.ndarray, size: int) -> np.ndarray:
    """Bool [size,size]: the face below the nose."""
    oval = polygon(mesh[list(OVAL), :2], size)
    across = mesh[EYE_CORNERS[1], :2] - mesh[EYE_CORNERS[0], :2]
    down = np.array([-across[1], across[0]]) / np.linalg.norm(across)
    rows, columns = np.mgrid[:size, :size]
    base = mesh[NOSE_BASE, :2]
    below = (columns - base[0]) * down[0] + (rows - base[1]) * down[1] > 0
    return oval & below


def mouth_opening(mesh: np.ndarray) -> float:
    """Height between the lips over the distance of the eyes."""
    across = np.linalg.norm(mesh[EYE_CORNERS[1], :2] - mesh[EYE_CORNERS[0], :2])
    pairs = ((81, 178), (13, 14), (311, 402))
    heights = [np.linalg.norm(mesh[a, :2] - mesh[b, :2]) for a, b in pairs]
    return float(np.mean(heights) / across)


def mouth_energy(picture: torch.Tensor, mouth: np.ndarray) -> float:
    """Sum of the squared brightness gradient of a picture [1,3,S,S] over a bool mask [S,S]."""
    grey = picture[0].double().mean(0).numpy()
    down, across = np.gradient(grey)
    return float((down**2 + across**2)[mouth].sum())


def shows_teeth(picture: torch.Tensor, mesh: np.ndarray) -> bool:
    """Whether the lips are parted and a light row lies between them.

    A row is a fifth of the opening that is lighter than the lips and less coloured than they are.
    """
    if mouth_opening(mesh) < LEAST_PARTED:
        return False
    pixels = picture[0].permute(1, 2, 0).double().numpy()
    size = len(pixels)
    inside = polygon(mesh[list(INNER_LIPS), :2], size)
    lips = polygon(mesh[list(OUTER_LIPS), :2], size) & ~inside
    if not inside.any() or not lips.any():
        return False
    brightness, colour = pixels @ LUMA, np.ptp(pixels, axis=2)
    light = brightness > np.median(brightness[lips]) + LIGHTER
    pale = colour <= np.median(colour[lips]) + 1e-3
    return bool((light & pale)[inside].mean() >= ROW_SHARE)


def strange_colours(picture: torch.Tensor, source: torch.Tensor, mesh: np.ndarray) -> float:
    """Share of the opened mouth whose hue lies beyond those of the source's own face.

    picture and source are [1,3,S,S]; mesh is the edited face's. Hues are red - green and yellow -
    blue; half of the least range is added on both sides. NaN for a closed mouth.
    """
    size = picture.shape[-1]
    inside = polygon(mesh[list(INNER_LIPS), :2], size)
    if mouth_opening(mesh) < LEAST_PARTED or not inside.any():
        return math.nan
    face = polygon(mesh[list(OVAL), :2], size)
    own, painted = (_hues(each)[mask] for each, mask in ((source, face), (picture, inside)))
    low, high = np.quantile(own, [0.01, 0.99], axis=0)
    low, high = np.minimum(low, 0) - HUE_MARGIN, np.maximum(high, 0) + HUE_MARGIN
    return float(((painted < low) | (painted > high)).any(1).mean())


HUE_MARGIN = 0.04
"""What the hues of a mouth may lie beyond those of the face."""


def _hues(picture: torch.Tensor) -> np.ndarray:
    """[S,S,2] red - green and yellow - blue of a picture [1,3,S,S]."""
    red, green, blue = picture[0].double().numpy()
    return np.stack([red - green, (red + green) / 2 - blue], -1)


def largest_colour(picture: torch.Tensor) -> float:
    """Largest difference between the channels of a picture's pixels: 0 is grey."""
    return float((picture.amax(1) - picture.amin(1)).max())
