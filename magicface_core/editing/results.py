"""Results of edits: the model's picture composed with the source it came from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..aus import AUDelta
from ..framing.preparation import Prepared
from ..pasting.frames import paste_frames
from ..pictures.images import to_uint8
from ..pictures.resampling import WORKING_SIZE


@dataclass(frozen=True)
class EditResult:
    """One edited picture.

    image    PIL RGB of the source's size; outside the mask its pixels are the source's
    crop     PIL RGB 512 x 512, the edited face in the crop the model worked on
    mask     PIL L of the source's size, 255 where the edit replaced the source
    delta    the edit asked for
    seconds  wall time; edits made together share theirs evenly
    """

    image: Image.Image
    crop: Image.Image
    mask: Image.Image
    delta: AUDelta
    seconds: float


def unchanged(prepared: Prepared, delta: AUDelta, seconds: float = 0.0) -> EditResult:
    """The source itself, under an empty mask."""
    source = _picture(prepared.source, prepared)
    crop = _picture(prepared.crop512, prepared)
    return EditResult(source, crop, Image.new("L", source.size, 0), delta, seconds)


def pasted(
    prepared: Prepared,
    edited: Tensor,
    delta: AUDelta,
    seconds: float = 0.0,
    *,
    mask: Tensor | None = None,
) -> EditResult:
    """The edited face [1,3,S,S] composed with the source, see `pasting.frames.paste_frames`.

    An edit equal to the crop returns the source bit for bit. mask [1,1,512,512] is where to paste,
    instead of all that was repainted.
    """
    repainted = prepared.background.mask
    where = repainted if mask is None else mask
    image, weight = paste_frames(prepared.source, edited, prepared.crops, mask=where)
    crop = prepared.crop.extract(image, WORKING_SIZE)
    shades = Image.fromarray((weight[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return EditResult(_picture(image, prepared), _picture(crop, prepared), shades, delta, seconds)


def _picture(image: Tensor, prepared: Prepared) -> Image.Image:
    """As PIL, in the source's colour profile."""
    picture = Image.fromarray(to_uint8(image))
    if prepared.profile:
        picture.info["icc_profile"] = prepared.profile
    return picture
