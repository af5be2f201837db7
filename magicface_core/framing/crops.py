"""Faces cut out of pictures and video frames as a checkpoint wants to see them.

An extension of the published preparation, which knows one picture and its largest face.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..aus import AU_ORDER, AUVector
from ..errors import FaceTooSmallError, ImageError, NoFaceError
from ..framing.overview import MOST_PICTURES, Seen, draw_overview
from ..perception import AUEstimate, Face
from ..perception.placing import crop_for_face
from ..pictures.crop import Crop
from ..pictures.resampling import WORKING_SIZE
from .boxes import frame_boxes
from .choosing import FACE_ORDERS, check_order, choose_face, find_faces, of_frame, pick_face
from .framing import Framing
from .smoothing import smooth_crops

if TYPE_CHECKING:
    from ..perception import Perception

__all__ = [
    "FACE_ORDERS",
    "ON_NO_FACE",
    "CroppedFaces",
    "FaceCrop",
    "FaceCrops",
    "choose_face",
    "crop_faces",
    "estimate_frames",
]

ON_NO_FACE = ("error", "pass through")
"""What happens to a frame without the face asked for, or with one too small to edit."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FaceCrop:
    """Where a face was cut out.

    crop  the square in the source picture
    face  the face in pixels of the crop at 512
    """

    crop: Crop
    face: Face


@dataclass(frozen=True)
class FaceCrops:
    """Where the faces of a picture, or of each frame of a video, were cut out.

    frames       one for each frame; None where no face was found
    source_size  (width, height) of the frames
    framing      what the crops were made for
    """

    frames: tuple[FaceCrop | None, ...]
    source_size: tuple[int, int]
    framing: Framing

    def __len__(self) -> int:
        return len(self.frames)

    def squares(self, count: int) -> dict[int, Crop]:
        """The squares of `count` frames by number, without those that have none; one may serve
        all."""
        repeats = count if len(self) == 1 else 1
        entries = enumerate(self.frames * repeats)
        return {number: entry.crop for number, entry in entries if entry is not None}


@dataclass(frozen=True)
class CroppedFaces:
    """What `crop_faces` returns.

    pictures  [B,3,512,512], the faces; of a frame without a face its middle square
    crops     where they were
    mask      [B,H,W], 1 on pixels inside the square, 0 throughout for frames without a face
    overview  [b,3,h,w], at most sixteen frames with their faces framed and numbered
    """

    pictures: Tensor
    crops: FaceCrops
    mask: Tensor
    overview: Tensor


@dataclass(frozen=True)
class _Choice:
    """The face chosen in one frame (None: none could be), among all of its faces in order."""

    face: Face | None
    faces: Sequence[Face]


def crop_faces(
    images: Tensor,
    perception: Perception,
    framing: Framing,
    *,
    face: int = 0,
    order: str = FACE_ORDERS[0],
    boxes: object = None,
    on_no_face: str = ON_NO_FACE[0],
    smoothing: int = 0,
) -> CroppedFaces:
    """Finds one face in every frame and cuts out the square around it.

    Args:
        images: [B,3,H,W] float 0..1, a picture or frames.
        perception: finds the faces.
        framing: how the checkpoint wants its pictures.
        face: number of the face, from 0, in the order below.
        order: one of FACE_ORDERS.
        boxes: bounding boxes that say which face is meant, as `boxes.frame_boxes` takes them; they
            go before number and order. A frame for which they hold none counts as without a face.
        on_no_face: "error", or "pass through" to leave frames unchanged that have no such face.
        smoothing: frames before and after over which the square's place is averaged.

    Raises:
        NoFaceError, FaceTooSmallError: as `choose_face`, with the frame's number; not under
            "pass through".
        ImageError: an unknown order or on_no_face, or boxes that do not fit.
    """
    if smoothing < 0:
        raise ImageError(f"smoothing is a number of frames from 0, not {smoothing}.")
    choices = _choices(images, perception, face, order, boxes, on_no_face)
    size = (images.shape[-1], images.shape[-2])
    found = [_crop(choice.face, size, framing) for choice in choices]
    squares = smooth_crops(found, smoothing)
    crops = tuple(
        FaceCrop(square, choice.face.mapped(square, WORKING_SIZE))
        if square is not None and choice.face is not None
        else None
        for square, choice in zip(squares, choices, strict=True)
    )
    middle = Crop((size[0] / 2, size[1] / 2), min(size), size)
    pictures = [
        (square or middle).extract(frame, WORKING_SIZE)
        for square, frame in zip(squares, images.split(1), strict=True)
    ]
    return CroppedFaces(
        pictures=torch.cat(pictures),
        crops=FaceCrops(crops, size, framing),
        mask=torch.stack([_inside(square, size, images.device) for square in squares]),
        overview=_overview(images, choices, squares),
    )


def estimate_frames(
    images: Tensor,
    perception: Perception,
    *,
    face: int = 0,
    order: str = FACE_ORDERS[0],
    on_no_face: str = ON_NO_FACE[0],
) -> tuple[AUEstimate, ...]:
    """Action units of one face in every frame [B,3,H,W]; arguments and errors as `crop_faces`.

    Under "pass through" a frame without a face gives zeros with no confidence.
    """
    choices = _choices(images, perception, face, order, None, on_no_face)
    unknown = AUEstimate(AUVector(), (0.0,) * len(AU_ORDER), "no face")
    return tuple(
        unknown if choice.face is None else perception.estimate_aus(choice.face, frame)
        for choice, frame in zip(choices, images.split(1), strict=True)
    )


def _choices(
    images: Tensor,
    perception: Perception,
    index: int,
    order: str,
    boxes: object,
    on_no_face: str,
) -> list[_Choice]:
    check_order(order)
    if on_no_face not in ON_NO_FACE:
        raise ImageError(f'on_no_face is one of: {", ".join(ON_NO_FACE)}; not "{on_no_face}".')
    count = len(images)
    by_frame = [None] * count if boxes is None else frame_boxes(boxes, count)
    choices = []
    for number, (frame, box) in enumerate(zip(images.split(1), by_frame, strict=True)):
        faces = find_faces(perception, frame, order)
        try:
            if boxes is not None and box is None:
                raise NoFaceError("The bounding boxes connected hold none for this picture.")
            choices.append(_Choice(*pick_face(perception, frame, faces, index, order, box)))
        except (NoFaceError, FaceTooSmallError) as error:
            if on_no_face == "error":
                raise type(error)(_with_hint(error, number, count)) from error
            logger.info("Passes through unchanged: %s", of_frame(error, number, count))
            choices.append(_Choice(None, faces))
    return choices


def _with_hint(error: Exception, number: int, count: int) -> str:
    """The error's text, for one of several frames with its number and what else may help."""
    hint = ' Or set on_no_face to "pass through" to leave such frames unchanged.'
    return of_frame(error, number, count) + (hint if count > 1 else "")


def _crop(face: Face | None, size: tuple[int, int], framing: Framing) -> Crop | None:
    if face is None:
        return None
    return crop_for_face(face, size, framing.face_fraction, offset=framing.crop_offset)


def _inside(square: Crop | None, size: tuple[int, int], device: torch.device) -> Tensor:
    """[H,W] float, 1 where a pixel's centre lies in the square."""
    width, height = size
    if square is None:
        return torch.zeros(height, width, device=device)
    x = torch.arange(width, device=device) + 0.5 - square.center[0]
    y = (torch.arange(height, device=device) + 0.5 - square.center[1])[:, None]
    (right_x, down_x), (right_y, down_y) = square.rotation.tolist()
    half = square.side / 2
    across = (right_x * x + right_y * y).abs_() <= half
    along = (down_x * x + down_y * y).abs_() <= half
    return (across & along).float()


def _overview(images: Tensor, choices: Sequence[_Choice], squares: Sequence[Crop | None]) -> Tensor:
    """[b,3,h,w] of the frames, evenly chosen where there are too many."""
    count = len(images)
    shown = np.linspace(0, count - 1, min(count, MOST_PICTURES)).round().astype(int).tolist()
    drawn = [
        draw_overview(
            images[number : number + 1],
            Seen(choices[number].faces, choices[number].face, squares[number]),
            _caption(number, count, choices[number]),
        )
        for number in shown
    ]
    return torch.cat(drawn)


def _caption(number: int, count: int, choice: _Choice) -> str:
    parts = [f"frame {number}"] if count > 1 else []
    return ", ".join(parts if choice.face else [*parts, "passes through"])
