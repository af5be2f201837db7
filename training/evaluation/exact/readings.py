"""What the embedded perception reads from pictures of one run, and how two readings differ."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from magicface_core.perception.head_pose import head_pose

from ..conditions import enlarge
from ..metrics import identity_distance, pose_distance
from ..records import AUReadings

if TYPE_CHECKING:
    from magicface_core.perception import Perception

    from .au_regressor import AURegressor

KEPT = 64
"""Readings of renderings that are remembered by default: more than an identity has pictures."""


@dataclass(frozen=True)
class Seen:
    """Embedding [128], estimated intensities [12], and yaw, pitch, roll [3] in degrees."""

    embedding: np.ndarray
    aus: np.ndarray
    pose: np.ndarray


class Reader:
    """Reads faces; a rendering that is source of one edit and answer to another is read once."""

    def __init__(
        self, perception: Perception, regressor: AURegressor | None = None, kept: int = KEPT
    ) -> None:
        self._perception = perception
        self._regressor = regressor
        self._limit = kept
        self._kept: OrderedDict[bytes, Seen | None] = OrderedDict()

    def read(self, picture: torch.Tensor) -> Seen | None:
        """The largest face of ``[1,3,R,R]``; None where there is none."""
        crop = enlarge(picture)
        faces = self._perception.faces(crop, limit=1)
        if not faces:
            return None
        intensities = self._perception.estimate_aus(faces[0], crop).intensities
        pose = head_pose(faces[0].mesh)
        return Seen(
            self._perception.embed(crop, faces[0]),
            np.array(intensities.values),
            np.array([pose.yaw, pose.pitch, pose.roll]),
        )

    def rendered(self, picture: torch.Tensor) -> Seen | None:
        """The same, remembered by the picture's bytes."""
        key = picture.numpy().tobytes()
        if key not in self._kept:
            self._kept[key] = self.read(picture)
            if len(self._kept) > self._limit:
                self._kept.popitem(last=False)
        return self._kept[key]

    def regressed(
        self,
        source: torch.Tensor,
        edits: torch.Tensor,
        answers: torch.Tensor,
        eyes: np.ndarray,
        known: np.ndarray,
    ) -> list[AUReadings | None]:
        """The regressor's readings of edits ``[B,3,R,R]`` and answers of one source.

        ``known`` [B,12] is what the source truly shows; None without a regressor.
        """
        if self._regressor is None:
            return [None] * len(edits)
        found = known + self._regressor.changes(source, edits, eyes)
        exact = known + self._regressor.changes(source, answers, eyes)
        return [AUReadings(*row) for row in zip(known, found, exact, strict=True)]


def identity_between(first: Seen | None, second: Seen | None) -> float | None:
    """Distance of the embeddings; None where a face is missing."""
    if first is None or second is None:
        return None
    return identity_distance(first.embedding, second.embedding)


def pose_between(first: Seen | None, second: Seen | None) -> float | None:
    """Root mean square over the three angles, in degrees; None where a face is missing."""
    if first is None or second is None:
        return None
    return pose_distance(first.pose, second.pose)


def readings(source: Seen | None, edit: Seen | None, answer: Seen | None) -> AUReadings | None:
    """Estimated intensities of all three; None where a face is missing."""
    if source is None or edit is None or answer is None:
        return None
    return AUReadings(source.aus, edit.aus, answer.aus)
