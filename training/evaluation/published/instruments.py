"""What measures an edit: AU estimator, identity embedding, face parser, head pose; named in rows.

A `Reading` is all they say about one picture of 512 x 512. Choices are plain values, so that a
worker process can load the same instruments.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Literal, get_args

import numpy as np
import torch

from magicface_core.perception import Perception
from magicface_core.perception.backends import AUTO, chosen_name
from magicface_core.perception.faces import EMBEDDED
from magicface_core.perception.head_pose import head_pose

from ..records import EvaluationError
from .dlib_identity import DlibIdentity, dlib_obstacle

IdentityBackend = Literal["auto", "embedded", "dlib"]


@dataclass(frozen=True)
class InstrumentChoice:
    """Which backends measure: names as results carry them, "auto" already resolved."""

    au_estimator: str = EMBEDDED
    identity: str = EMBEDDED
    parser: str = EMBEDDED

    @classmethod
    def of(
        cls, au_estimator: str = AUTO, identity: str = AUTO, parser: str = AUTO
    ) -> InstrumentChoice:
        """The best instruments present for "auto"; the named ones otherwise.

        Raises:
            MagicFaceError: an unknown name, or one that cannot be used yet, with what to do.
        """
        if identity not in get_args(IdentityBackend):
            known = ", ".join(get_args(IdentityBackend))
            raise EvaluationError(f'There is no identity embedding "{identity}"; choose {known}.')
        obstacle = dlib_obstacle()
        if identity == "dlib" and obstacle:
            raise EvaluationError(f"Identity by dlib cannot be measured yet: {obstacle}")
        if identity == AUTO:
            identity = EMBEDDED if obstacle else "dlib"
        return cls(
            au_estimator=chosen_name("au_estimator", au_estimator),
            identity=identity,
            parser=chosen_name("parser", parser),
        )

    @property
    def as_in_paper(self) -> bool:
        """Whether AU and identity numbers come from the paper's own instruments."""
        return self.au_estimator.startswith("libreface") and self.identity == "dlib"


@dataclass(frozen=True)
class Reading:
    """What the instruments see in one picture.

    face       whether one was found; without it all else is None
    aus        [12] intensities 0..5 in `AU_ORDER`
    embedding  [128]; None also where the identity instrument's own detector finds no face
    pose       [3] yaw, pitch, roll in degrees
    face_mask  [1,1,512,512] bool array, True on the face
    """

    face: bool
    aus: np.ndarray | None = None
    embedding: np.ndarray | None = None
    pose: np.ndarray | None = None
    face_mask: np.ndarray | None = None


class Instruments:
    """Loaded instruments, on the CPU: many small pictures, best spread over worker processes."""

    def __init__(self, choice: InstrumentChoice) -> None:
        self.choice = choice
        self.perception = Perception.load(parser=choice.parser, au_estimator=choice.au_estimator)

    @cached_property
    def _dlib(self) -> DlibIdentity:
        return DlibIdentity()

    def read(self, picture: torch.Tensor) -> Reading:
        """Everything about the largest face of a picture [1,3,512,512] float 0..1."""
        faces = self.perception.faces(picture, limit=1)
        if not faces:
            return Reading(face=False)
        face = faces[0]
        pose = head_pose(face.mesh)
        intensities = self.perception.estimate_aus(face, picture).intensities
        mask = self.perception.face_mask(picture, face) > 0.5
        if self.choice.identity == "dlib":
            embedding = self._dlib.embed(picture)
        else:
            embedding = self.perception.embed(picture, face)
        return Reading(
            face=True,
            aus=np.array(intensities.values),
            embedding=embedding,
            pose=np.array([pose.yaw, pose.pitch, pose.roll]),
            face_mask=mask.cpu().numpy(),
        )


@lru_cache(maxsize=1)
def loaded(choice: InstrumentChoice) -> Instruments:
    """The instruments of a choice, loaded once per process."""
    return Instruments(choice)
