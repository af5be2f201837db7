"""Bounding boxes from other detectors: ComfyUI's BOUNDING_BOX as one box for each frame.

Boxes inside the library are arrays [4] of x1, y1, x2, y2 in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ImageError

if TYPE_CHECKING:
    from ..perception import Face

KEYS = ("x", "y", "width", "height")
SHOWN = 80  # characters of a refused value that its error repeats


def frame_boxes(value: object, frames: int) -> list[np.ndarray | None]:
    """Boxes [4] x1, y1, x2, y2 of as many frames; None where a frame has no box.

    Args:
        value: a dictionary of x, y, width and height, which serves every frame; a list of them,
            one for each frame (of a single picture: the first counts); or for each frame a list of
            them, of which the first counts. What else a dictionary holds (label, score) is ignored.
        frames: how many pictures there are.

    Raises:
        ImageError: `value` is nothing of this, or holds boxes for another number of frames.
    """
    if isinstance(value, Mapping):
        return [_corners(value)] * frames
    entries = _listed(value)
    if entries is None:
        raise ImageError(_refused(value))
    boxes = [_first(entry) for entry in entries]
    if frames == 1 and all(_listed(entry) is None for entry in entries):
        boxes = boxes[:1]
    if len(boxes) <= 1:
        return (boxes or [None]) * frames
    if len(boxes) != frames:
        raise ImageError(
            f"There are bounding boxes for {len(boxes)} frames and {frames} pictures; "
            "connect one box, or one for each picture."
        )
    return boxes


def box_of(face: Face) -> np.ndarray:
    """[4] the box around a face's mesh, without its irises."""
    points = face.mesh[:468, :2]
    return np.concatenate([points.min(0), points.max(0)])


def shared_area(first: np.ndarray, second: np.ndarray) -> float:
    """Area in pixels that two boxes have in common."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    return float(np.clip(high - low, 0, None).prod())


def area(box: np.ndarray) -> float:
    """Area of a box in pixels."""
    return float((box[2:] - box[:2]).prod())


def text_of(box: np.ndarray) -> str:
    """A box in words, as ComfyUI shows it."""
    x1, y1, x2, y2 = box.tolist()
    return f"x {x1:g}, y {y1:g}, width {x2 - x1:g}, height {y2 - y1:g}"


def _listed(value: object) -> list[object] | None:
    """The entries of a list or tuple, None for anything else."""
    return list(value) if isinstance(value, list | tuple) else None


def _first(entry: object) -> np.ndarray | None:
    """The box of one frame: a dictionary, the first of several, or none."""
    several = _listed(entry)
    if several is None:
        return None if entry is None else _corners(entry)
    boxes = [_corners(box) for box in several]
    return boxes[0] if boxes else None


def _corners(box: object) -> np.ndarray:
    if not isinstance(box, Mapping) or any(key not in box for key in KEYS):
        raise ImageError(_refused(box))
    try:
        x, y, width, height = (float(box[key]) for key in KEYS)
    except (TypeError, ValueError) as error:
        raise ImageError(_refused(box)) from error
    if not all(math.isfinite(number) for number in (x, y, width, height)):
        raise ImageError(f"A bounding box holds finite numbers, not {_shown(box)}.")
    if width <= 0 or height <= 0:
        raise ImageError(
            f"A bounding box has a width and height above 0, not {width:g} x {height:g}."
        )
    return np.array([x, y, x + width, y + height])


def _refused(value: object) -> str:
    return (
        "A bounding box is a dictionary of x, y, width and height in pixels, or a list of them, "
        f"not {_shown(value)}."
    )


def _shown(value: object) -> str:
    text = f"{type(value).__name__} {value!r}"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
