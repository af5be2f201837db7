"""Which classes of a face parsing make up a region that is blacked out."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch

from ..errors import ImageError

Region = Literal["face", "person"]


# Classes of the 19-class face parsing that the published script blacks out. "face" is the authors'
# current script (skin, brows, eyes, glasses, nose, mouth, lips, necklace); "person" is everything
# but the background, as in their published examples.
FACE_CLASSES: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 15)


PERSON_CLASSES: tuple[int, ...] = tuple(range(1, 19))


REGION_CLASSES: dict[str, tuple[int, ...]] = {"face": FACE_CLASSES, "person": PERSON_CLASSES}


def region_of_parsing(parsing: np.ndarray, region: Region) -> torch.Tensor:
    """Parsing map [S,S] of the 19 face classes -> mask [1,1,S,S], 1 where the region is."""
    return torch.from_numpy(np.isin(parsing, classes_of(region))).float()[None, None]


def classes_of(region: str) -> tuple[int, ...]:
    if region not in REGION_CLASSES:
        raise ImageError(f"Unknown region {region!r}; choose one of {', '.join(get_args(Region))}.")
    return REGION_CLASSES[region]
