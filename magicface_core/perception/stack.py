"""Everything a picture must be asked: by networks inside the package, or better ones if present."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ImageError
from .action_units import EmbeddedAUEstimator
from .backends import AU_ESTIMATORS, AUTO, JAWS, PARSERS, Choice, Folders, choose, model_folders
from .blendshapes import BlendshapeNetwork
from .detector import BlazeFaceDetector
from .faces import (
    EMBEDDED,
    AUEstimate,
    AUEstimator,
    Detection,
    Face,
    FaceDetector,
    FaceParser,
    JawEstimator,
    JawPoints,
    LandmarkEstimator,
)
from .graph import Graph, load_graphs, one_thread
from .identity import IdentityNetwork, identity_distance
from .mesh import FaceMesh, MeshJaw
from .segmentation import MaskParser

ASSETS = Path(__file__).resolve().parent.parent / "assets"
LEAST_PRESENCE = 0.5  # what the mesh network calls a face with less belief is dropped
SURE = 0.82  # presence times score of one face that settles which way up the picture is
DUPLICATE_DISTANCE = 0.3  # of the mesh width
LONGEST_SEARCHED = 4096  # pixels; larger pictures are searched on a smaller copy, to spare memory
SHARP_ENOUGH = 256.0  # width in pixels of a face that a larger picture would not place better


class Perception:
    """Faces, masks, action units and identity of a picture.

    Pictures are [1,3,H,W] float 0..1; results are in their pixels. Weights load on first use.
    Each part can be replaced by another backend of the same protocol before use.

    Attributes:
        device: where the networks run.
        detector, landmarks, parser, jaw, au_estimator: the parts.
    """

    def __init__(
        self,
        device: torch.device | str = "cpu",
        *,
        parser: str = AUTO,
        au_estimator: str = AUTO,
        jaw: str = AUTO,
        models: Folders = None,
    ) -> None:
        self.device = torch.device(device)
        stores = model_folders(models)
        self._parser = choose("parser", PARSERS, parser, stores)
        self._au_estimator = choose("au_estimator", AU_ESTIMATORS, au_estimator, stores)
        self._jaw = choose("jaw", JAWS, jaw, stores)

    @classmethod
    def load(
        cls,
        device: torch.device | str = "cpu",
        *,
        parser: str = AUTO,
        au_estimator: str = AUTO,
        jaw: str = AUTO,
        models: Folders = None,
    ) -> Perception:
        """The networks on a device. No weights are read until they are needed.

        Args:
            device: where they run.
            parser, au_estimator, jaw: backends by the names of `backends.TABLES`; "auto" takes the
                best one that is present, the embedded one where there is no other.
            models: model folders to look for weights in; () for none. By default the one that
                `magicface models path` prints.

        Raises:
            ModelError: an unknown backend, or one that cannot be used yet, with what to do.
        """
        return cls(device, parser=parser, au_estimator=au_estimator, jaw=jaw, models=models)

    @cached_property
    def _graphs(self) -> dict[str, Graph]:
        graphs = load_graphs(ASSETS / "perception.safetensors")
        return {name: graph.to(self.device) for name, graph in graphs.items()}

    @cached_property
    def detector(self) -> FaceDetector:
        return BlazeFaceDetector(self._graphs["face_detector"])

    @cached_property
    def landmarks(self) -> LandmarkEstimator:
        return FaceMesh(self._graphs["face_landmarks"])

    @cached_property
    def parser(self) -> FaceParser:
        return self._parser.build(self.device) or MaskParser(self._graphs["selfie"])

    @cached_property
    def jaw(self) -> JawEstimator:
        return self._jaw.build(self.device) or MeshJaw()

    @cached_property
    def au_estimator(self) -> AUEstimator:
        built = self._au_estimator.build(self.device)
        return built or EmbeddedAUEstimator(self._blendshapes)

    @cached_property
    def _blendshapes(self) -> BlendshapeNetwork:
        return BlendshapeNetwork(self._graphs["face_blendshapes"], self.device)

    @cached_property
    def _identity(self) -> IdentityNetwork:
        return IdentityNetwork.load(ASSETS / "identity.safetensors", self.device)

    def faces(self, image: torch.Tensor, limit: int | None = None) -> list[Face]:
        """Faces of a picture, largest first.

        Several, small (about 4 % of the long side) and tilted faces are found; a picture that shows
        no sure face upright is also searched lying on either side and upside down. Faces of any
        size are returned; whether one is large enough to edit is the caller's to decide. Pictures
        above 4096 pixels are searched on a smaller copy, then small faces placed on the original.

        Args:
            image: [1,3,H,W] float 0..1.
            limit: return at most so many.

        Raises:
            ImageError: the picture has another shape.
        """
        image = self._checked(image)
        reduction = math.ceil(max(image.shape[-2:]) / LONGEST_SEARCHED)
        with one_thread():
            found = self._faces_any_way_up(_reduced(image, reduction))
            if reduction > 1:
                found = [self._enlarged(image, face, reduction) for face in found]
        return sorted(found, key=lambda face: -face.width)[:limit]

    def _faces_any_way_up(self, image: torch.Tensor) -> list[Face]:
        found: list[Face] = []
        for turn in (0.0, math.pi, math.pi / 2, -math.pi / 2):
            faces = self._faces_turned(image, turn)
            if _belief(faces) > _belief(found):
                found = faces
            if _belief(found) > SURE:
                break
        return found

    def _faces_turned(self, image: torch.Tensor, turn: float) -> list[Face]:
        found: list[Face] = []
        for hit in self.detector.detect(image, turn):
            mesh, presence = self.landmarks.estimate(image, hit)
            face = Face(hit.score, hit.box, hit.keypoints, mesh, presence)
            if presence > LEAST_PRESENCE and not any(_same(face, other) for other in found):
                found.append(face)
        return found

    def _enlarged(self, image: torch.Tensor, face: Face, reduction: int) -> Face:
        """A face found on a copy `reduction` times smaller, in pixels of the picture itself."""
        mesh, presence = face.mesh * reduction, face.presence
        hit = Detection(face.score, face.box * reduction, face.keypoints * reduction)
        if face.width < SHARP_ENOUGH:
            mesh, presence = self.landmarks.estimate(image, hit)
        return Face(hit.score, hit.box, hit.keypoints, mesh, presence)

    def blendshapes(self, face: Face) -> dict[str, float]:
        """52 coefficients 0..1 by their ARKit names (and `_neutral`)."""
        with one_thread():
            return self._blendshapes.estimate(face)

    def estimate_aus(self, face: Face, image: torch.Tensor | None = None) -> AUEstimate:
        """Intensities and confidences of the 12 AUs; other backends may need the picture."""
        with _threads(self._au_estimator):
            return self.au_estimator.estimate(face, image)

    def person_mask(self, image: torch.Tensor) -> torch.Tensor:
        """How surely each pixel belongs to a person: [1,1,H,W] float 0..1."""
        with _threads(self._parser):
            return self.parser.person_mask(self._checked(image))

    def face_mask(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        """The face without hair, ears and neck: [1,1,H,W] float, 0 or 1."""
        with _threads(self._parser):
            return self.parser.face_mask(self._checked(image), face)

    def jaw_points(self, image: torch.Tensor, face: Face) -> JawPoints:
        """What the dots of the background + pose picture are drawn from."""
        with _threads(self._jaw):
            return self.jaw.estimate(self._checked(image), face)

    def embed(self, image: torch.Tensor, face: Face) -> np.ndarray:
        """Identity embedding [128] float32 of one face."""
        with one_thread():
            return self._identity.embed(self._checked(image), face)

    def identity_distance(self, first: np.ndarray, second: np.ndarray) -> float:
        """Euclidean distance of two embeddings: 0 the same picture, above 0.6 other people."""
        return identity_distance(first, second)

    def _checked(self, image: torch.Tensor) -> torch.Tensor:
        if image.dim() != 4 or image.shape[:2] != (1, 3) or 0 in image.shape:
            raise ImageError(f"Perception looks at one picture [1,3,H,W], not {list(image.shape)}.")
        return image.to(self.device, torch.float32)


def _threads(choice: Choice[Any]) -> AbstractContextManager[None]:
    """One thread for the embedded networks, which are tiny; all of them for the others."""
    return one_thread() if choice.name == EMBEDDED else nullcontext()


def _reduced(image: torch.Tensor, reduction: int) -> torch.Tensor:
    """The picture with whole cells of pixels averaged, the last ones as far as they go."""
    if reduction == 1:
        return image
    return F.avg_pool2d(image, reduction, ceil_mode=True, count_include_pad=False)


def _belief(faces: list[Face]) -> float:
    return max((face.presence * face.score for face in faces), default=0.0)


def _same(first: Face, second: Face) -> bool:
    """Whether two meshes lie on one face."""
    apart = np.linalg.norm(first.points5 - second.points5, axis=1).mean()
    return bool(apart < DUPLICATE_DISTANCE * max(first.width, second.width))
