"""Identity embedding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data

from magicface_core.errors import CheckpointError
from magicface_core.perception import Face, Perception
from magicface_core.perception.identity import IdentityNetwork, face_chip
from magicface_core.pictures.images import to_tensor


def test_the_same_face_is_near_itself_after_changes(
    perception: Perception, photo: torch.Tensor, face: Face
) -> None:
    embedding = perception.embed(photo, face)
    assert embedding.shape == (128,)
    assert embedding.dtype == np.float32
    mirrored = photo.flip(-1)
    (other,) = perception.faces(mirrored)
    darker = perception.embed(photo * 0.8, face)
    assert perception.identity_distance(embedding, embedding) == 0
    assert perception.identity_distance(embedding, darker) < 0.2
    assert perception.identity_distance(embedding, perception.embed(mirrored, other)) < 0.35


def test_what_is_not_this_face_is_far(
    perception: Perception, photo: torch.Tensor, face: Face
) -> None:
    embedding = perception.embed(photo, face)
    faces = torch.from_numpy(data.lfw_subset()[:8])  # grey 25 x 25 faces of other people
    grey = faces.float()[:, None].expand(-1, 3, -1, -1)
    chips = torch.nn.functional.interpolate(grey, (150, 150), mode="bicubic").clamp(0, 1)
    others = perception._identity(chips).numpy()
    distances = [perception.identity_distance(embedding, other) for other in others]
    assert min(distances) > 0.6


def test_the_chip_is_aligned(photo: torch.Tensor, face: Face) -> None:
    chip = face_chip(photo, face)
    assert chip.shape == (1, 3, 150, 150)
    eyes, forehead = chip[0, :, 50:62, 42:58].mean(), chip[0, :, 66:80, 100:115].mean()
    assert float(eyes) < float(forehead)


def test_pixels_outside_the_picture_do_not_break(perception: Perception) -> None:
    photo = to_tensor(data.astronaut())[..., 190:]
    (found,) = perception.faces(photo)
    assert np.isfinite(perception.embed(photo, found)).all()


def test_files_that_are_not_the_network(tmp_path: Path) -> None:
    path = tmp_path / "identity.safetensors"
    path.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    with pytest.raises(CheckpointError, match="quantization"):
        IdentityNetwork.load(path)
    with pytest.raises(CheckpointError, match="Reinstall"):
        IdentityNetwork.load(tmp_path / "absent.safetensors")
