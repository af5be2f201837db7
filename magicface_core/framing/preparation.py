"""From a picture to what the model reads: the face, its crop, and the background + pose picture.

Nothing here needs a checkpoint, so estimating action units or drawing the pose costs no network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..errors import FaceTooSmallError, ImageError, NoFaceError
from ..pictures.images import ImageInput, to_tensor
from ..pictures.masks import grow_mask
from .background import BackgroundPose, Region, dotted_background, region_mask
from .placing import OFFICIAL_FACE_FRACTION, Crop, crop_for_face

if TYPE_CHECKING:
    from ..network.info import CheckpointInfo
    from ..perception import Face, Perception

WORKING_SIZE = 512
"""Side in pixels of the crop on which faces are parsed and results are composed."""

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


@dataclass(frozen=True)
class Prepared:
    """One face of one picture, ready for any number of edits.

    source      [1,3,H,W] float32 0..1, the whole picture
    crop        where the square crop lies in the source
    face        the face in crop pixels (512)
    crop512     [1,3,512,512]
    background  the background + pose picture and the region it blackens, at 512
    model_input [1,3,R,R], the crop at the checkpoint's resolution
    condition   [1,3,R,R], the background + pose picture at the checkpoint's resolution
    profile     colour profile (ICC) of the source, where it came with one
    """

    source: Tensor
    crop: Crop
    face: Face
    crop512: Tensor
    background: BackgroundPose
    model_input: Tensor
    condition: Tensor
    profile: bytes | None = None


def prepare(
    image: ImageInput, perception: Perception, framing: Framing | None = None, face: int = 0
) -> Prepared:
    """Find face number `face` (largest first) and build everything an edit of it needs.

    Raises ImageError, NoFaceError or FaceTooSmallError.
    """
    framing = framing or Framing()
    source = single_picture(image)
    found, _ = find_face(perception, source, face)
    height, width = source.shape[-2:]
    crop = crop_for_face(found, (width, height), framing.face_fraction, offset=framing.crop_offset)
    crop512 = crop.extract(source, WORKING_SIZE)
    in_crop = found.mapped(crop, WORKING_SIZE)
    background = framed_background(crop512, in_crop, framing, perception)
    return Prepared(
        source=source,
        crop=crop,
        face=in_crop,
        crop512=crop512,
        background=background,
        model_input=reduce_to(crop512, framing.resolution),
        condition=reduce_to(background.picture, framing.resolution),
        profile=image.info.get("icc_profile") if isinstance(image, Image.Image) else None,
    )


def framed_background(
    crop: Tensor, face: Face, framing: Framing, perception: Perception
) -> BackgroundPose:
    """The background + pose picture of a crop [1,3,S,S], its mask grown as the framing asks.

    face is in crop pixels.
    """
    size = crop.shape[-1]
    plain = region_mask(crop, face, framing.region, perception)
    mask = grow_mask(
        plain, _down(face), framing.mask_dilation * size, framing.chin_extension * size
    )
    return dotted_background(crop, face, mask, perception, perception.parser.backend)


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


def reduce_to(picture: Tensor, resolution: int) -> Tensor:
    """`picture` [B,C,S,S] at [B,C,R,R] by averaging areas; unchanged where S = R."""
    if picture.shape[-1] == resolution and picture.shape[-2] == resolution:
        return picture
    return F.interpolate(picture, size=(resolution, resolution), mode="area")


def enlarge_to(picture: Tensor, size: int) -> Tensor:
    """`picture` [B,C,R,R] at [B,C,S,S], bicubic; unchanged where R = S."""
    if picture.shape[-1] == size and picture.shape[-2] == size:
        return picture
    return F.interpolate(picture, size=(size, size), mode="bicubic", align_corners=False)


def _down(face: Face) -> tuple[float, float]:
    """Unit vector (x, y) from the middle of the eyes to the middle of the mouth."""
    points = face.points5
    x, y = points[3:5].mean(0) - points[0:2].mean(0)
    length = math.hypot(x, y)
    return (float(x / length), float(y / length)) if length else (0.0, 1.0)
