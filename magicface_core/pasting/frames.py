"""Frames in step: backgrounds for many crops, and many edits pasted back into their frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ImageError
from ..framing.connected_masks import ConnectedMask
from ..pictures.crop import Crop
from ..pictures.resampling import WORKING_SIZE, require_square
from .colour import match_colours
from .paste import paste_back
from .rescaling import scaled_alike

if TYPE_CHECKING:
    from ..framing.crops import FaceCrops

LARGEST_FEATHER = 0.5


def paste_frames(
    images: Tensor,
    edited: Tensor,
    crops: FaceCrops,
    *,
    mask: Tensor | None = None,
    feather: float = 0.03,
    colour_match: float = 1.0,
    keep_detail: bool = True,
) -> tuple[Tensor, Tensor]:
    """Puts edited faces back into their frames; outside the mask no bit changes.

    One picture with one crop may get many edits, and as many frames as many edits.

    Args:
        images: [B,3,H,W] float 0..1, the pictures that the faces were cut from.
        edited: [N,3,s,s] float 0..1, of any size.
        crops: where they were cut out. Frames without a face stay as they are.
        mask: [B or 1,1,h,w], what to replace: in the crop at any resolution, or of the pictures'
            size (512 x 512 is taken for the crop). Without it, the whole square.
        feather: width of the soft edge as a share of the crop's side, 0 (a hard edge) to 0.5.
        colour_match: how far a shift of tone is taken back, 0 to 1; see `colour.match_colours`.
        keep_detail: where the edit equals the picture, keep the picture's own pixels. An unedited
            crop then returns the picture bit for bit, or within a grey level if it was scaled by
            one of the usual filters.

    Returns:
        The pictures [M,3,H,W] and the weights of the edits in them [M,1,H,W], M the largest of the
        three counts.

    Raises:
        ImageError: counts other than 1 and M, sizes that do not fit, an empty mask, or a number
            out of range.
    """
    require_square("edited face", edited)
    _require_source(images, crops)
    if not (math.isfinite(feather) and 0 <= feather <= LARGEST_FEATHER):
        raise ImageError(f"feather is 0 to {LARGEST_FEATHER}, not {feather}.")
    count = _common_count(images, edited, crops)
    squares = crops.squares(count)
    given = None
    if mask is not None:
        given = ConnectedMask(mask.to(images), count, crops.source_size, edited.shape[-1])
        given.check_touches(squares)
    paste = _Paste(given, feather, colour_match, keep_detail)
    if count == 1 and squares:  # nothing to collect, which spares large pictures a copy
        return paste.frame(images, edited.to(images), squares[0], 0)
    pictures = images.expand(count, -1, -1, -1).clone()
    weights = torch.zeros_like(pictures[:, :1])
    for number, crop in squares.items():
        here = slice(number, number + 1)
        edit = edited[number % len(edited)][None].to(images)
        pictures[here], weights[here] = paste.frame(pictures[here], edit, crop, number)
    return pictures, weights


@dataclass(frozen=True)
class _Paste:
    """How edits are pasted; see `paste_frames`."""

    mask: ConnectedMask | None
    feather: float
    colour_match: float
    keep_detail: bool

    def frame(
        self, picture: Tensor, edit: Tensor, crop: Crop, number: int
    ) -> tuple[Tensor, Tensor]:
        """Picture [1,3,H,W] with the edit [1,3,s,s] in it, and the edit's weight [1,1,H,W]."""
        # Whatever its size, an edit knows no more of the picture than the crop's 512 pixels.
        reference = scaled_alike(crop.extract(picture, WORKING_SIZE), edit)
        inside = torch.ones_like(edit[:, :1])
        if self.mask is not None:
            inside = self.mask.in_crop(number, crop)
        edit = match_colours(edit, reference, inside, self.colour_match)
        pasted, weight = paste_back(
            picture,
            edit,
            crop,
            inside,
            reference=reference if self.keep_detail else None,
            feather=self.feather,
        )
        if self.mask is not None and self.mask.whole:
            allowed = self.mask.row(number) > 0
            pasted, weight = torch.where(allowed, pasted, picture), weight * allowed
        return pasted, weight


def _require_source(images: Tensor, crops: FaceCrops) -> None:
    height, width = images.shape[-2:]
    if (width, height) != crops.source_size:
        wanted = "{} x {}".format(*crops.source_size)
        raise ImageError(
            f"The face was cut from a picture of {wanted}, this one is {width} x {height}; connect "
            "the picture that went into Face Crop."
        )


def _common_count(images: Tensor, edited: Tensor, crops: FaceCrops) -> int:
    counts = (len(images), len(edited), len(crops))
    most = max(counts)
    if any(count not in (1, most) for count in counts):
        raise ImageError(
            f"{counts[0]} pictures, {counts[1]} edited faces and crops of {counts[2]} frames do "
            f"not go together: each number must be 1 or {most}."
        )
    return most
