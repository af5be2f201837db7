"""Results of edits: the model's picture composed with the source it came from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor

from ..aus import AUDelta
from ..framing.placing import paste_back
from ..framing.preparation import WORKING_SIZE, Prepared, enlarge_to
from ..pasting.colour import match_colours
from ..pictures.images import to_uint8


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
    reference: Tensor | None,
    delta: AUDelta,
    seconds: float = 0.0,
    *,
    mask: Tensor | None = None,
) -> EditResult:
    """The model's picture [1,3,R,R] composed with the source.

    reference [1,3,R,R] is the model's picture of the unedited crop, to keep the source's detail
    (see geometry.paste_back). Without it the crop itself is compared, after a shift of tone that
    shows around the repainted region has been taken back (see colour.match_colours); an edit equal
    to the crop returns the source bit for bit. mask [1,1,512,512] is where to paste, instead of
    all that was repainted.
    """
    repainted = prepared.background.mask
    picture = enlarge_to(edited, WORKING_SIZE)
    if reference is None:
        unedited = enlarge_to(prepared.model_input, WORKING_SIZE)
        picture = match_colours(picture, unedited, repainted)
    else:
        unedited = enlarge_to(reference, WORKING_SIZE)
    image, weight = paste_back(
        prepared.source,
        picture,
        prepared.crop,
        repainted if mask is None else mask,
        reference=unedited,
    )
    crop = prepared.crop.extract(image, WORKING_SIZE)
    shades = Image.fromarray((weight[0, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy())
    return EditResult(_picture(image, prepared), _picture(crop, prepared), shades, delta, seconds)


def _picture(image: Tensor, prepared: Prepared) -> Image.Image:
    """As PIL, in the source's colour profile."""
    picture = Image.fromarray(to_uint8(image))
    if prepared.profile:
        picture.info["icc_profile"] = prepared.profile
    return picture
