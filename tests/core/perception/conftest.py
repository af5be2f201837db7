"""One photograph and the perception that looked at it, shared by the perception tests."""

from __future__ import annotations

import pytest
import torch
from skimage import data

from magicface_core.perception import Face, Perception
from magicface_core.perception.placing import crop_for_face
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_tensor


@pytest.fixture(scope="session")
def perception() -> Perception:
    return Perception.load()


@pytest.fixture(scope="session")
def photo() -> torch.Tensor:
    """Scikit-image's astronaut (NASA, public domain), [1,3,512,512]."""
    return to_tensor(data.astronaut())


@pytest.fixture(scope="session")
def face(perception: Perception, photo: torch.Tensor) -> Face:
    (found,) = perception.faces(photo)
    return found


@pytest.fixture(scope="session")
def crop(face: Face) -> Crop:
    return crop_for_face(face, (512, 512))


@pytest.fixture(scope="session")
def portrait(photo: torch.Tensor, crop: Crop) -> torch.Tensor:
    """The photograph's 512 crop."""
    return crop.extract(photo, 512)


@pytest.fixture(scope="session")
def face_in_portrait(face: Face, crop: Crop) -> Face:
    return face.mapped(crop, 512)
