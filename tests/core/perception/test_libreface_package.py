"""The adapter to an installed `libreface`, which a module of the same functions stands in for."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.aus import AU_ORDER
from magicface_core.errors import ImageError, ModelError
from magicface_core.perception import Face
from magicface_core.perception.libreface import aligned_face
from magicface_core.perception.libreface_package import (
    BACKBONE_WEIGHTS,
    PACKAGE_WEIGHTS,
    InstalledLibreFaceAUEstimator,
)

INTENSITIES = {f"au_{unit}_intensity": unit / 10 for unit in AU_ORDER}


class FakeLibreFace(ModuleType):
    """Answers as version 0.2.0 does, and takes the liberties it takes."""

    def __init__(self, answer: Any = INTENSITIES) -> None:
        super().__init__("libreface")
        self.answer = answer
        self.calls: list[dict[str, Any]] = []

    def get_au_intensities_and_detect_aus(
        self, image_path: str, device: str = "cpu", weights_download_dir: str = "./weights"
    ) -> tuple[dict[str, int], Any]:
        with Image.open(image_path) as image:
            pixels = np.asarray(image)
        self.calls.append(
            {"path": image_path, "pixels": pixels, "device": device, "folder": weights_download_dir}
        )
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"au_1": 1}, self.answer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights where the package and torchvision keep them."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    places = (tmp_path / "kept" / PACKAGE_WEIGHTS, tmp_path / "torch/hub/checkpoints" / "x")
    for place in (places[0], places[1].with_name(BACKBONE_WEIGHTS)):
        place.parent.mkdir(parents=True)
        place.touch()
    return tmp_path / "kept"


def installed(monkeypatch: pytest.MonkeyPatch, answer: Any = INTENSITIES) -> FakeLibreFace:
    package = FakeLibreFace(answer)
    monkeypatch.setitem(sys.modules, "libreface", package)
    return package


def test_the_package_reads_our_aligned_face(
    monkeypatch: pytest.MonkeyPatch, folder: Path, photo: torch.Tensor, face: Face
) -> None:
    package = installed(monkeypatch)
    estimate = InstalledLibreFaceAUEstimator.load(folder, "cuda:1").estimate(face, photo)
    assert estimate.backend == "libreface package"
    assert estimate.intensities.values == tuple(unit / 10 for unit in AU_ORDER)
    assert all(0.5 < confidence < 1 for confidence in estimate.confidence)
    (call,) = package.calls
    np.testing.assert_array_equal(call["pixels"], np.asarray(aligned_face(face, photo)))
    assert (call["device"], call["folder"]) == ("cuda:1", str(folder))
    assert not Path(call["path"]).parent.exists()


def test_random_numbers_go_on_as_before(
    monkeypatch: pytest.MonkeyPatch, folder: Path, photo: torch.Tensor, face: Face
) -> None:
    installed(monkeypatch)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    InstalledLibreFaceAUEstimator.load(folder).estimate(face, photo)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]


def test_no_package(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setitem(sys.modules, "libreface", None)
    with pytest.raises(ModelError) as caught:
        InstalledLibreFaceAUEstimator.load(folder)
    for words in ("pip install libreface==0.2.0", "torch==2.0.0", "environment of its own"):
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("import no_such_module_of_mediapipe", "lacks no_such_module_of_mediapipe"),
        ("import sys; sys.solutions", "has no attribute 'solutions'"),
        ("raise RuntimeError('built for numpy 1')", "built for numpy 1"),
    ],
)
def test_a_package_that_does_not_import(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, source: str, text: str
) -> None:
    (tmp_path / "libreface.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "libreface", raising=False)
    with pytest.raises(ModelError, match=text) as caught:
        InstalledLibreFaceAUEstimator.load(folder)
    assert "pip install libreface==0.2.0" in str(caught.value)


@pytest.mark.parametrize("name", ["combined_resnet.pt", BACKBONE_WEIGHTS])
def test_nothing_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path, name: str
) -> None:
    package = installed(monkeypatch)
    (present,) = tmp_path.rglob(name)
    present.unlink()
    with pytest.raises(ModelError, match="would download") as caught:
        InstalledLibreFaceAUEstimator.load(folder)
    assert name in str(caught.value)
    assert "libreface --input_path PHOTO" in str(caught.value)
    assert not package.calls


@pytest.mark.parametrize(
    "answer",
    [
        RuntimeError("CUDA error"),
        None,
        {},
        {**INTENSITIES, "au_9_intensity": "high"},
        {**INTENSITIES, "au_9_intensity": float("nan")},
        {**INTENSITIES, "au_9_intensity": 7.0},
    ],
)
def test_answers_of_another_kind(
    monkeypatch: pytest.MonkeyPatch, folder: Path, photo: torch.Tensor, face: Face, answer: Any
) -> None:
    installed(monkeypatch, answer)
    with pytest.raises(ModelError, match=r"libreface package (failed|answered)"):
        InstalledLibreFaceAUEstimator.load(folder).estimate(face, photo)


def test_a_face_without_its_picture(
    monkeypatch: pytest.MonkeyPatch, folder: Path, face: Face
) -> None:
    installed(monkeypatch)
    with pytest.raises(ImageError, match="give the picture"):
        InstalledLibreFaceAUEstimator.load(folder).estimate(face)
