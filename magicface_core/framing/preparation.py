"""From a picture to what the model reads: the face, its crop, and the background + pose picture.

Nothing here needs a checkpoint, so estimating action units or drawing the pose costs no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image
from torch import Tensor

from ..perception.placing import crop_for_face
from ..pictures.crop import Crop
from ..pictures.images import ImageInput
from ..pictures.resampling import WORKING_SIZE, reduce_to
from .background import BackgroundPose, framed_background
from .crops import FaceCrop, FaceCrops
from .framing import Framing, find_face, single_picture

if TYPE_CHECKING:
    from ..perception import Face, Perception


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
    framing     how the checkpoint wants its pictures
    profile     colour profile (ICC) of the source, where it came with one
    """

    source: Tensor
    crop: Crop
    face: Face
    crop512: Tensor
    background: BackgroundPose
    model_input: Tensor
    condition: Tensor
    framing: Framing
    profile: bytes | None = None

    @property
    def crops(self) -> FaceCrops:
        """Where the face was cut out, as `pasting.frames.paste_frames` takes it."""
        face = FaceCrop(self.crop, self.face)
        return FaceCrops((face,), self.crop.source_size, self.framing)


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
        framing=framing,
        profile=image.info.get("icc_profile") if isinstance(image, Image.Image) else None,
    )
