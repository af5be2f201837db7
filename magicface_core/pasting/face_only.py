"""Restricts the paste of an edit to the face.

An extension of the published code. Checkpoints that repaint the whole person draw hair, neck and
clothes anew as well; somebody who asked for a smile may want the photograph's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..framing.background import region_mask
from ..framing.preparation import Prepared
from ..pictures.masks import grow_mask
from ..pictures.resampling import WORKING_SIZE, enlarge_to

if TYPE_CHECKING:
    from ..perception import Face, Perception

MARGIN = 0.03
"""Growth in sides of the crop: room for the soft edge, so that the face itself is pasted whole."""


def face_only_mask(prepared: Prepared, edited: Tensor, perception: Perception) -> Tensor:
    """Where the face is, before or after the edit: a jaw that drops leaves its old place.

    Args:
        prepared: the unedited face.
        edited: [1,3,R,R] float, the model's picture of the edit.
        perception: finds and parses the face in it.

    Returns:
        [1,1,512,512] float 0..1, nowhere above the mask of what the model repainted.
    """
    crop, repainted = prepared.crop512, prepared.background.mask
    picture = enlarge_to(edited, WORKING_SIZE).clamp(0, 1).to(crop)
    before = region_mask(crop, prepared.face, "face", perception)
    moved = _nearest(perception.faces(picture), prepared.face)
    after = region_mask(picture, moved, "face", perception)
    grown = grow_mask(torch.maximum(before, after), (0.0, 1.0), MARGIN * WORKING_SIZE)
    return torch.minimum(grown.to(repainted), repainted)


def _nearest(faces: list[Face], face: Face) -> Face:
    """The one of `faces` whose mesh lies closest to that of `face`; without any, `face` itself."""
    return min(faces, key=lambda other: _distance(other, face), default=face)


def _distance(one: Face, other: Face) -> float:
    return float(np.linalg.norm(one.mesh[:, :2] - other.mesh[:, :2], axis=1).mean())
