"""Which of several faces is meant: by number in an order, or by a bounding box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from ..errors import ImageError, NoFaceError
from .boxes import area, box_of, shared_area, text_of
from .framing import numbered_face, require_width

if TYPE_CHECKING:
    from ..perception import Face, Perception

FACE_ORDERS = (
    "largest first",
    "left to right",
    "right to left",
    "top to bottom",
    "closest to centre",
)
"""How faces are numbered."""

BELONGS = 0.3
"""Share of the smaller of box and face that the two have in common if they mean the same face."""

ENLARGED = 2.0
"""Sides of the part of a picture, in sides of the box, in which a missed face is looked for."""


def choose_face(
    perception: Perception,
    picture: Tensor,
    index: int = 0,
    order: str = FACE_ORDERS[0],
    box: np.ndarray | None = None,
) -> tuple[Face, list[Face]]:
    """One face of a picture, and all of its faces in the order that numbers them.

    Args:
        perception: finds the faces.
        picture: [1,3,H,W] float 0..1.
        index: number of the face, from 0.
        order: one of FACE_ORDERS.
        box: [4] x1, y1, x2, y2; the face in this box is meant, whatever its number. If none was
            found there, the box's surroundings are searched alone.

    Raises:
        NoFaceError: no face, none of that number, or none in the box.
        FaceTooSmallError: too few pixels to trust an edit.
        ImageError: unknown order, or a box outside the picture.
    """
    faces = find_faces(perception, picture, order)
    return pick_face(perception, picture, faces, index, order, box)


def find_faces(perception: Perception, picture: Tensor, order: str) -> list[Face]:
    """All faces of a picture [1,3,H,W], sorted by one of FACE_ORDERS."""
    check_order(order)
    return sort_faces(perception.faces(picture), order, (picture.shape[-1], picture.shape[-2]))


def pick_face(
    perception: Perception,
    picture: Tensor,
    faces: Sequence[Face],
    index: int,
    order: str,
    box: np.ndarray | None = None,
) -> tuple[Face, list[Face]]:
    """The face meant among `faces`, which `find_faces` found; see `choose_face`."""
    if box is None:
        return numbered_face(faces, index, picture, order), list(faces)
    size = (picture.shape[-1], picture.shape[-2])
    _check_inside(box, size)
    chosen = _face_in(box, faces)
    if chosen is None:
        chosen = _face_in(box, _search_around(perception, picture, box))
        if chosen is None:
            raise NoFaceError(
                f"No face found in the bounding box ({text_of(box)}); {_elsewhere(faces)} "
                "Move the box onto a face, or disconnect it and choose a number."
            )
        faces = sort_faces([*faces, chosen], order, size)
    number = next(number for number, face in enumerate(faces) if face is chosen)
    require_width(chosen, number)
    return chosen, list(faces)


def check_order(order: str) -> None:
    """Raise ImageError for an order that is none of FACE_ORDERS."""
    if order not in FACE_ORDERS:
        raise ImageError(f'Unknown order "{order}"; choose one of: {", ".join(FACE_ORDERS)}.')


def sort_faces(faces: Sequence[Face], order: str, size: tuple[int, int]) -> list[Face]:
    """Faces of a picture of `size` (width, height), sorted by one of FACE_ORDERS."""

    def key(face: Face) -> float:
        x, y = (box_of(face)[:2] + box_of(face)[2:]) / 2
        return {
            "largest first": -face.width,
            "left to right": x,
            "right to left": -x,
            "top to bottom": y,
            "closest to centre": math.hypot(x - size[0] / 2, y - size[1] / 2),
        }[order]

    return sorted(faces, key=key)


def of_frame(error: Exception, number: int, count: int) -> str:
    """The error's text, beginning with the frame's number if there are several."""
    return str(error) if count == 1 else f"Frame {number} (of 0 to {count - 1}): {error}"


def _check_inside(box: np.ndarray, size: tuple[int, int]) -> None:
    if shared_area(box, np.array([0.0, 0.0, *size])) <= 0:
        raise ImageError(
            f"The bounding box ({text_of(box)}) lies outside the {size[0]} x {size[1]} picture; "
            "give it in pixels of this picture."
        )


def _face_in(box: np.ndarray, faces: Sequence[Face]) -> Face | None:
    """The face that overlaps the box most, if it overlaps it enough to be meant."""

    def shared(face: Face) -> float:
        return shared_area(box, box_of(face))

    meant = [
        face
        for face in faces
        if shared(face) >= BELONGS * min(area(box), area(box_of(face))) and shared(face) > 0
    ]

    def over_union(face: Face) -> float:
        return shared(face) / (area(box) + area(box_of(face)) - shared(face))

    return max(meant, key=over_union, default=None)


def _search_around(perception: Perception, picture: Tensor, box: np.ndarray) -> list[Face]:
    """Faces of the part of the picture around the box, in pixels of the whole picture."""
    height, width = picture.shape[-2:]
    reach = ENLARGED * max(box[2:] - box[:2]) / 2
    middle = (box[:2] + box[2:]) / 2
    left, top = np.floor(np.maximum(middle - reach, 0)).astype(int)
    right, bottom = np.ceil(np.minimum(middle + reach, [width, height])).astype(int)
    part = picture[..., top:bottom, left:right]
    return [_shifted(face, left, top) for face in perception.faces(part)]


def _shifted(face: Face, x: float, y: float) -> Face:
    """The same face in a picture that has x more columns to the left and y more rows above."""
    return replace(
        face,
        box=face.box + np.array([x, y, x, y]),
        keypoints=face.keypoints + np.array([x, y]),
        mesh=face.mesh + np.array([x, y, 0]),
    )


def _elsewhere(faces: Sequence[Face]) -> str:
    if not faces:
        return "nor anywhere else in the picture."
    return f"elsewhere there are {len(faces)}."
