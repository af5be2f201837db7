"""Masks that people connect: of the crop at any resolution, or painted in the whole picture."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from ..errors import ImageError
from ..pictures.crop import Crop
from ..pictures.resampling import WORKING_SIZE, resample


class ConnectedMask:
    """A mask [B or 1,1,h,w] read in the crops of `count` frames.

    It belongs to the crop if it is square, and to the whole picture if it has the picture's size;
    where both are true it belongs to the picture, unless it has the size of a crop.

    Attributes:
        whole: whether it belongs to the whole picture.
    """

    def __init__(
        self, mask: Tensor, count: int, source_size: tuple[int, int] | None, size: int
    ) -> None:
        height, width = mask.shape[-2:]
        square = height == width
        of_crop = square and width in (size, WORKING_SIZE)
        self.whole = (width, height) == source_size and not of_crop
        if not square and not self.whole:
            picture = (
                ""
                if source_size is None
                else " or {} x {} (the whole picture)".format(*source_size)
            )
            raise ImageError(
                f"The mask is {width} x {height}; it must be square (the crop){picture}."
            )
        if len(mask) not in (1, count):
            raise ImageError(
                f"There are {len(mask)} masks for {count} pictures; connect one, or one for each."
            )
        self._masks = mask
        self._size = size

    def row(self, number: int) -> Tensor:
        """The mask of one frame as given, [1,1,h,w]."""
        place = number % len(self._masks)
        return self._masks[place : place + 1]

    def in_crop(self, number: int, crop: Crop | None) -> Tensor:
        """The mask of one frame [1,1,S,S] in 0..1, above 0 only where the given one is.

        A pixel of a picture smaller than the mask is above 0 if all that it covers is.
        """
        mask, size = self.row(number), self._size
        if self.whole and crop is not None:
            matrix = crop.matrix_to_source(size)
            return resample(mask, matrix, (size, size), padding="zeros").clamp(0, 1)
        given = mask.shape[-1]
        if given == size:
            return mask
        if given > size:
            return -F.adaptive_max_pool2d(-mask, size)
        enlarged = F.interpolate(mask, size=(size, size), mode="bilinear", align_corners=False)
        inside = F.interpolate((mask > 0).float(), size=(size, size), mode="nearest-exact")
        return enlarged * inside

    def check_touches(self, crops: Mapping[int, Crop | None], above: float = 0.0) -> None:
        """Raise ImageError if no pixel is above `above` in any of these crops, by frame number."""
        touched = (bool((self.in_crop(*place) > above).any()) for place in crops.items())
        if crops and not any(touched):
            raise ImageError(
                "The mask is empty where the face is, so that nothing would change: "
                "paint over the face, or disconnect the mask."
            )
