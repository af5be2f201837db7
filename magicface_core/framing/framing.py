"""How a checkpoint wants its pictures, and which face of a picture is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from ..errors import FaceTooSmallError, ImageError, NoFaceError
from ..perception.placing import OFFICIAL_FACE_FRACTION
from ..perception.regions import Region
from ..pictures.images import ImageInput, to_tensor
from ..pictures.resampling import WORKING_SIZE

if TYPE_CHECKING:
    from ..network.info import CheckpointInfo
    from ..perception import Face, Perception


MINIMUM_FACE_WIDTH = 64.0
"""Least width in pixels of a face's mesh that an edit can be trusted on."""


@dataclass(frozen=True)
class Framing:
    """How a checkpoint wants its pictures; the defaults are the published preparation.

    region         what is blacked out: "face" or "person"
    face_fraction  width of the face's box over the side of the crop
    crop_offset    shift of the crop's centre, in sides (right, down)
    mask_dilation  growth of the blacked region, as a share of the crop's side
    chin_extension growth beyond the chin, likewise
    resolution     side R in pixels of what the networks see
    """

    region: Region = "face"
    face_fraction: float = OFFICIAL_FACE_FRACTION
    crop_offset: tuple[float, float] = (0.0, 0.0)
    mask_dilation: float = 0.0
    chin_extension: float = 0.0
    resolution: int = WORKING_SIZE

    @classmethod
    def of(cls, info: CheckpointInfo, region: Region | None = None) -> Framing:
        """The framing of a checkpoint, `region` overriding its own."""
        return cls(
            region=region or info.region,
            face_fraction=info.face_fraction,
            crop_offset=info.crop_offset,
            mask_dilation=info.mask_dilation,
            chin_extension=info.chin_extension,
            resolution=info.resolution,
        )


def single_picture(image: ImageInput) -> Tensor:
    """`image` as [1,3,H,W] float32 0..1; a batch of several pictures raises ImageError."""
    tensor = to_tensor(image)
    if tensor.shape[0] != 1:
        raise ImageError(f"Got a batch of {tensor.shape[0]} pictures; edit them one at a time.")
    return tensor


def find_face(perception: Perception, source: Tensor, index: int = 0) -> tuple[Face, int]:
    """Face number `index` of `source` [1,3,H,W], largest first, and how many faces there are."""
    faces = perception.faces(source)
    return numbered_face(faces, index, source), len(faces)


def numbered_face(
    faces: Sequence[Face], index: int, source: Tensor, order: str = "largest first"
) -> Face:
    """Face number `index` of those found in `source` [1,3,H,W], which `order` says how sorted.

    Raises NoFaceError, or FaceTooSmallError where an edit could not be trusted.
    """
    height, width = source.shape[-2:]
    if not faces:
        raise NoFaceError(
            f"No face found in the {width} x {height} picture; "
            "use one where both eyes and the mouth can be seen."
        )
    if not 0 <= index < len(faces):
        raise NoFaceError(
            f"There is no face number {index}: {len(faces)} found, "
            f"numbered 0 to {len(faces) - 1}, {order}."
        )
    require_width(faces[index], index)
    return faces[index]


def require_width(face: Face, index: int) -> None:
    """Raise FaceTooSmallError for a face with too few pixels to edit."""
    if face.width < MINIMUM_FACE_WIDTH:
        raise FaceTooSmallError(
            f"Face {index} is {face.width:.0f} pixels wide; at least {MINIMUM_FACE_WIDTH:.0f} are "
            "needed: use a larger version of the picture."
        )
