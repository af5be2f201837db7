"""Preflight: whether a photograph suits an edit, and what to do where it does not.

The authors' advice (no large black areas, a face that does not fill the frame), and what else
spoils edits, as measurements with limits: see ``preflight_rules.py``. Nothing about a photograph is
an error here; the measures are heuristics, so that a warning is a reason to look, not a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from ..errors import ImageError
from ..framing.boxes import area, box_of, shared_area
from ..framing.choosing import FACE_ORDERS, find_faces
from ..framing.crops import FaceCrops
from ..framing.framing import Framing
from ..perception.faces import SKIN_VERTICES, Face
from ..perception.head_pose import head_pose
from ..perception.placing import BOX_WIDTH_PER_MESH_WIDTH, crop_for_face
from ..perception.segmentation import OVAL, polygon_mask
from ..pictures.batches import frame_count
from ..pictures.crop import Crop
from ..pictures.resampling import WORKING_SIZE
from .covering import covered_region, rim_contrast
from .photograph import BLACK_SIZE, black_areas, face_light, softness
from .report import PreflightReport, frames_text
from .rules import (
    BLACK_AREAS,
    BLUR,
    BURNT_OUT,
    COVERED,
    CUT_OFF,
    DARKNESS,
    FACE_SHARE,
    FACE_WIDTH,
    GLASSES,
    NO_FACE,
    NO_SUCH_FACE,
    PITCH,
    ROLL,
    SEVERAL_FACES,
    YAW,
    Check,
    at_least,
    framed,
)

if TYPE_CHECKING:
    from ..perception import Perception

__all__ = ["PreflightReport", "frames_text", "preflight", "preflight_frames"]

AS_LARGE = 0.5
"""Another face is confused with this one if its width is at least this share of it."""

REACHING = 0.1
"""Another face reaches into the square if at least this share of its box lies there."""

SMALLEST_SQUARE = 64
"""Side in pixels of the smallest square on which blur and light are measured."""


def preflight(
    picture: Tensor,
    perception: Perception,
    *,
    face: int = 0,
    order: str = FACE_ORDERS[0],
    framing: Framing | None = None,
    square: Crop | None = None,
) -> PreflightReport:
    """Check one photograph.

    Args:
        picture: [1,3,H,W] float 0..1.
        perception: finds faces and their regions.
        face: number of the face to look at, from 0, in the order below.
        order: one of FACE_ORDERS.
        framing: how the checkpoint wants its pictures; as published by default.
        square: what was cut out already; the face nearest to its centre is meant, whatever `face`.

    Raises:
        ImageError: an unknown order. Nothing about the photograph is raised.
    """
    framing = framing or Framing()
    size = (picture.shape[-1], picture.shape[-2])
    faces = tuple(find_faces(perception, picture, order))
    if not faces:
        return PreflightReport((NO_FACE.check(0),), size)
    if square is not None:
        found = _nearest(faces, square)
    elif not 0 <= face < len(faces):
        return PreflightReport((at_least(NO_SUCH_FACE, face + 1).check(len(faces)),), size, faces)
    else:
        found = faces[face]
    square = square or crop_for_face(found, size, framing.face_fraction, offset=framing.crop_offset)
    looked = _Looked(picture, found, square, perception)
    checks = (*_of_frame(looked, faces, framing), *_of_face(looked))
    return PreflightReport(checks, size, faces, found, square, looked.marks())


def preflight_frames(
    images: Tensor,
    perception: Perception,
    *,
    face: int = 0,
    order: str = FACE_ORDERS[0],
    crops: FaceCrops | None = None,
) -> tuple[PreflightReport, ...]:
    """Check every frame [B,3,H,W]; see `preflight`.

    Args:
        crops: of these frames, one or B: their faces and their framing are meant, and face and
            order only in frames where they found none.

    Raises:
        ImageError: an unknown order, or crops of other pictures.
    """
    size = (images.shape[-1], images.shape[-2])
    if crops is None:
        squares: dict[int, Crop] = {}
    else:
        if crops.source_size != size:
            raise ImageError(
                f"The crop belongs to pictures of {crops.source_size[0]} x {crops.source_size[1]} "
                f"pixels, not {size[0]} x {size[1]}: connect the picture that Face Crop got."
            )
        frame_count({"image": len(images), "crop": len(crops)}, ImageError)
        squares = crops.squares(len(images))
    framing = None if crops is None else crops.framing
    return tuple(
        preflight(
            picture,
            perception,
            face=face,
            order=order,
            framing=framing,
            square=squares.get(number),
        )
        for number, picture in enumerate(images.split(1))
    )


class _Looked:
    """A face with its square in the two sizes that measures want."""

    def __init__(self, picture: Tensor, face: Face, square: Crop, perception: Perception) -> None:
        self.source, self.square = face, square
        self.crop = square.extract(picture, WORKING_SIZE)
        self.face = face.mapped(square, WORKING_SIZE)
        # Not enlarged, which would blur it.
        size = max(SMALLEST_SQUARE, min(WORKING_SIZE, round(square.side)))
        self.native = self.crop if size == WORKING_SIZE else square.extract(picture, size)
        outline = face.mapped(square, size).mesh[list(OVAL), :2]
        self.oval = polygon_mask(outline, (size, size)).to(picture.device)
        self.covered, self.seen = covered_region(self.crop, self.face, perception)
        black = black_areas(self.crop)
        face_itself = _shrunk(polygon_mask(self.face.mesh[list(OVAL), :2], (WORKING_SIZE,) * 2))
        self.black = black & ~face_itself.to(black.device)

    @property
    def hidden(self) -> float:
        """Share of the face that something lies over."""
        return float(self.covered.sum() / self.seen.sum().clamp_min(1))

    def marks(self) -> Tensor:
        """[1,1,256,256] bool: what an overview should show of black and covered areas."""
        marks = self.black
        if COVERED.check(100 * self.hidden).level != "ok":
            marks = marks | _shrunk(self.covered)
        return marks


def _of_frame(looked: _Looked, faces: Sequence[Face], framing: Framing) -> tuple[Check, ...]:
    """Where the face is in the photograph, and what is around it."""
    face, (width, height) = looked.source, looked.square.source_size
    points = face.mesh[:SKIN_VERTICES, :2]
    outside = ((points < 0) | (points > (width, height))).any(1).mean()
    share = BOX_WIDTH_PER_MESH_WIDTH * face.width / min(width, height)
    return (
        SEVERAL_FACES.check(1 + sum(_matters(other, looked) for other in faces)),
        FACE_WIDTH.check(face.width),
        framed(FACE_SHARE, framing.face_fraction).check(100 * share),
        CUT_OFF.check(100 * float(outside)),
        BLACK_AREAS.check(100 * float(looked.black.float().mean())),
    )


def _of_face(looked: _Looked) -> tuple[Check, ...]:
    """How the face is turned, what lies over it, how it was photographed."""
    pose = head_pose(looked.source.mesh)
    light = face_light(looked.native, looked.oval)
    return (
        YAW.check(pose.yaw),
        PITCH.check(pose.pitch),
        ROLL.check(pose.roll),
        BLUR.check(softness(looked.native, looked.oval)),
        GLASSES.check(100 * rim_contrast(looked.crop, looked.face)),
        COVERED.check(100 * looked.hidden),
        DARKNESS.check(100 * light.brightest),
        BURNT_OUT.check(100 * light.burnt_out),
    )


def _matters(other: Face, looked: _Looked) -> bool:
    """Whether another face may be taken for this one, or stands in its square."""
    if other is looked.source:
        return False
    half = looked.square.side / 2
    x, y = looked.square.center
    inside = shared_area(box_of(other), np.array([x - half, y - half, x + half, y + half]))
    return other.width >= AS_LARGE * looked.source.width or inside >= REACHING * area(box_of(other))


def _nearest(faces: Sequence[Face], square: Crop) -> Face:
    def distance(face: Face) -> float:
        return float(np.linalg.norm(face.points5.mean(0) - square.center))

    return min(faces, key=distance)


def _shrunk(mask: Tensor) -> Tensor:
    """A mask [1,1,S,S] bool at the size of marks."""
    return F.interpolate(mask.float(), (BLACK_SIZE, BLACK_SIZE), mode="area") > 0.5
