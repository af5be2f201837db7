"""What an edit changed where it should have changed nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class BackgroundError:
    """Difference of edit and source outside the mask: root mean square and largest, range 0..1."""

    rmse: float
    largest: float


def background_error(edit: Tensor, source: Tensor, mask: Tensor) -> BackgroundError:
    """Error where ``mask`` is exactly zero; NaN when the mask leaves no background at all."""
    outside = (mask == 0).expand_as(source)
    difference = (edit.double() - source.double()).abs()[outside]
    if difference.numel() == 0:
        return BackgroundError(math.nan, math.nan)
    return BackgroundError(float(difference.square().mean().sqrt()), float(difference.max()))
