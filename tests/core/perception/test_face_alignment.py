"""Jaw points through the package `face-alignment`: by a stand-in, and by itself if installed."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from weight_files import write_formula_weights

from magicface_core.conversion.layouts import fan
from magicface_core.errors import ModelError
from magicface_core.perception import Face, face_alignment
from magicface_core.perception.face_alignment import FaceAlignmentJaw, face_box, jaw_points

INSTALLED = importlib.util.find_spec("face_alignment") is not None
POINTS = np.arange(136.0).reshape(68, 2)


class FakeNetwork(nn.Module):
    def __init__(self, hourglasses: int) -> None:
        super().__init__()
        assert hourglasses == 4
        self.l0 = nn.Linear(2, 3)


class FakeAligner:
    """The package's class as far as it is used; its own way to load a network is a download."""

    def __init__(self, landmarks_type: str, **options: Any) -> None:
        torch.backends.cudnn.benchmark = True
        self.landmarks_type, self.options = landmarks_type, options
        self.network = self._load_native("2DFAN-4", 4, options["device"], torch.float32)
        self.asked: list[tuple[np.ndarray, Any]] = []
        self.answer: Any = [POINTS.astype(np.float32)]

    def _load_native(self, *_: Any) -> nn.Module:
        raise AssertionError("the package loads its own weights")

    def get_landmarks_from_image(self, image: np.ndarray, detected_faces: Any) -> Any:
        self.asked.append((image, detected_faces))
        return self.answer


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A stand-in for the package, and for the layout of its network."""
    fake, models = ModuleType("face_alignment"), ModuleType("face_alignment.models")
    fake.__spec__ = ModuleSpec("face_alignment", None)
    fake.FaceAlignment, models.FAN = FakeAligner, FakeNetwork  # type: ignore[attr-defined]
    fake.LandmarksType = SimpleNamespace(TWO_D="2D")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "face_alignment", fake)
    monkeypatch.setitem(sys.modules, "face_alignment.models", models)
    monkeypatch.setattr(face_alignment, "layout", lambda: {"l0.weight": (3, 2), "l0.bias": (3,)})
    before = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = False
    yield fake
    torch.backends.cudnn.benchmark = before


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "2DFAN4.safetensors"
    save_file({"l0.weight": torch.ones(3, 2), "l0.bias": torch.full((3,), 2.0)}, path)
    return path


def test_the_network_is_given_and_nothing_compiled(package: ModuleType, weights: Path) -> None:
    aligner = FaceAlignmentJaw.load(weights).aligner
    assert aligner.landmarks_type == "2D"
    assert aligner.options == {"device": "cpu", "face_detector": "folder", "compile": False}
    assert aligner.network.l0.bias.tolist() == [2, 2, 2]
    assert not aligner.network.training


def test_the_process_keeps_its_settings(package: ModuleType, weights: Path) -> None:
    FaceAlignmentJaw.load(weights)
    assert torch.backends.cudnn.benchmark is False


def test_pixels_and_box_go_in_and_points_come_out(
    package: ModuleType, weights: Path, photo: torch.Tensor, face: Face
) -> None:
    jaw = FaceAlignmentJaw.load(weights)
    points = jaw.estimate(photo, face)
    ((pixels, boxes),) = jaw.aligner.asked
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, (photo[0] * 255).round().byte().permute(1, 2, 0).numpy())
    assert boxes == [[*face_box(face), 1.0]]
    assert np.array_equal(points.jaw, POINTS[:17] + 0.5)
    assert jaw.backend == "face-alignment"


def test_five_points_of_sixty_eight() -> None:
    landmarks = np.random.default_rng(0).normal(size=(68, 2))
    points = jaw_points(landmarks)
    assert points.jaw.shape == (17, 2)
    assert np.allclose(points.points5[0], landmarks[36:42].mean(0))
    assert np.allclose(points.points5[1], landmarks[42:48].mean(0))
    assert np.array_equal(points.points5[2:], landmarks[[30, 48, 54]])


def test_the_box_holds_the_mesh_and_the_forehead(face: Face) -> None:
    x1, y1, x2, y2 = face_box(face)
    low, high = face.mesh[:468, :2].min(0), face.mesh[:468, :2].max(0)
    assert x1 < low[0] < high[0] < x2
    assert y1 < low[1]
    assert y2 == high[1]
    assert 1 < (y2 - y1) / (x2 - x1) < 1.6


@pytest.mark.parametrize("answer", [None, [], [np.zeros((5, 2))]])
def test_no_landmarks(
    package: ModuleType, weights: Path, photo: torch.Tensor, face: Face, answer: Any
) -> None:
    jaw = FaceAlignmentJaw.load(weights)
    jaw.aligner.answer = answer
    with pytest.raises(ModelError, match="no landmarks"):
        jaw.estimate(photo, face)


def test_absent_weights_are_not_fetched(package: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="magicface models download face-alignment"):
        FaceAlignmentJaw.load(tmp_path / "2DFAN4.safetensors")


def test_an_absent_package(
    package: ModuleType, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(ModelError, match=r"cannot be imported.*pip install"):
        FaceAlignmentJaw.load(weights)


def test_another_version_would_fetch_and_is_refused(
    package: ModuleType, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "FaceAlignment", type("FaceAlignment", (), {}))
    with pytest.raises(ModelError, match=r"not supported.*face-alignment>=1.5,<2"):
        FaceAlignmentJaw.load(weights)


@pytest.mark.skipif(not INSTALLED, reason='needs pip install "comfyui-magicface[face-alignment]"')
def test_the_package_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, portrait: torch.Tensor, face_in_portrait: Face
) -> None:
    """Stand-in weights of the published layout; the network is the package's, and offline."""

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("something was to be downloaded")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(torch, "compile", refuse)
    path = write_formula_weights(tmp_path / "2DFAN4.safetensors", fan())
    jaw = FaceAlignmentJaw.load(path)
    landmarks = jaw.landmarks(portrait, face_in_portrait)
    assert landmarks.shape == (68, 2)
    assert np.isfinite(landmarks).all()
    x1, y1, x2, y2 = face_box(face_in_portrait)
    reach = x2 - x1 + y2 - y1  # the package's square is 200 / 195 of that
    assert (np.abs(landmarks - [(x1 + x2) / 2, (y1 + y2) / 2]) < reach).all()
    points = jaw.estimate(portrait, face_in_portrait)
    assert points.jaw.shape == (17, 2)
    assert points.points5.shape == (5, 2)
