"""Background + pose picture and mask of a crop that is framed already, as inference makes them.

The one step of inference left out is the crop itself: the picture is the crop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional

from magicface_core.framing.background import BackgroundPose, compose, framed_background, jaw_dots
from magicface_core.framing.framing import Framing
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_tensor
from magicface_core.pictures.masks import grow_mask
from magicface_core.pictures.resampling import WORKING_SIZE, reduce_to

from ..synthetic import FaceClass
from .editor import EditSource

if TYPE_CHECKING:
    from magicface_core.perception import Perception

    from ..synthetic import Rendering


def whole_crop(size: int) -> Crop:
    """The crop that is the whole of a ``size`` x ``size`` picture."""
    return Crop(center=(size / 2, size / 2), side=size, source_size=(size, size))


def enlarge(picture: torch.Tensor) -> torch.Tensor:
    """``[1,3,R,R]`` to the ``[1,3,512,512]`` on which inference runs its perception."""
    return whole_crop(picture.shape[-1]).extract(picture, WORKING_SIZE)


def prepare_source(
    seed: int, labels: Rendering, framing: Framing, perception: Perception
) -> EditSource:
    """Detects the face of a rendering of side R and draws its condition.

    Where no face is found the exact labels of the rendering stand in and ``face`` is None, so the
    caller can count it.
    """
    picture = to_tensor(labels.image)
    size = picture.shape[-1]
    crop = enlarge(picture)
    faces = perception.faces(crop, limit=1)
    if faces:
        condition = framed_background(crop, faces[0], framing, perception)
    else:
        condition = exact_background(crop, labels, framing)
    background, mask = reduce_to(condition.picture, size), reduce_to(condition.mask, size)
    return EditSource(seed, picture, background, mask, faces[0] if faces else None)


def exact_background(crop: torch.Tensor, labels: Rendering, framing: Framing) -> BackgroundPose:
    """Background + pose picture of a crop ``[1,3,512,512]`` from exact labels of side R."""
    size = crop.shape[-1]
    scale = size / labels.image.shape[0]
    person = labels.classes != FaceClass.BACKGROUND
    exact = labels.edit_mask if framing.region == "face" else person
    mask = torch.from_numpy(exact).float()[None, None]
    mask = functional.interpolate(mask, (size, size), mode="nearest")
    points = labels.points5 * scale
    down = points[3:5].mean(0) - points[0:2].mean(0)
    down = down / np.linalg.norm(down)
    growth = framing.mask_dilation * size, framing.chin_extension * size
    mask = grow_mask(mask, (float(down[0]), float(down[1])), *growth)
    # Drawing takes whole numbers as pixel centres, labels have them at one half.
    dots = jaw_dots(labels.jaw * scale - 0.5, points - 0.5, size)
    return BackgroundPose(compose(crop, mask, dots), mask)
