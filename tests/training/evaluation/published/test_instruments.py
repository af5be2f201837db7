"""Choosing instruments, and dlib's files without dlib."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from magicface_training.evaluation.published import dlib_identity, instruments
from magicface_training.evaluation.published.dlib_identity import (
    INSTALL,
    NETWORK,
    PREDICTOR,
    DlibIdentity,
    dlib_obstacle,
    model_folder,
)
from magicface_training.evaluation.published.instruments import InstrumentChoice, Instruments
from magicface_training.evaluation.records import EvaluationError

from magicface_core.errors import ModelError

FAKE_DLIB = """
class Box:
    def __init__(self, side): self.side = side
    def area(self): return self.side

def get_frontal_face_detector():
    return lambda pixels, upsample: [Box(1), Box(2 * upsample)] if pixels.any() else []

def shape_predictor(path):
    return lambda pixels, box: box.side

class face_recognition_model_v1:
    def __init__(self, path): self.path = path
    def compute_face_descriptor(self, pixels, shape, jitter): return [float(shape)] * 128
"""


@pytest.fixture
def fake_dlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for dlib, and a package whose import fails but whose files are there."""
    (tmp_path / "dlib.py").write_text(FAKE_DLIB)
    models = tmp_path / "face_recognition_models" / "models"
    models.mkdir(parents=True)
    (models.parent / "__init__.py").write_text("import pkg_resources_of_old")
    for name in (NETWORK, PREDICTOR):
        (models / name).write_bytes(b"")
    monkeypatch.syspath_prepend(str(tmp_path))
    return models


def test_dlib_s_files_are_found_without_importing_their_package(fake_dlib: Path) -> None:
    assert model_folder() == fake_dlib
    assert dlib_obstacle() is None
    assert InstrumentChoice.of().identity == "dlib"
    (fake_dlib / PREDICTOR).unlink()
    assert dlib_obstacle() == INSTALL


@pytest.mark.skipif(importlib.util.find_spec("dlib") is not None, reason="dlib is installed")
def test_dlib_takes_the_largest_face_after_one_doubling(fake_dlib: Path) -> None:
    embedder = DlibIdentity()
    found = embedder.embed(torch.ones(1, 3, 8, 8))
    assert found is not None and found.tolist() == [2.0] * 128
    assert embedder.embed(torch.zeros(1, 3, 8, 8)) is None


def test_without_dlib_the_embedded_copy_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instruments, "dlib_obstacle", lambda: INSTALL)
    monkeypatch.setattr(dlib_identity, "model_folder", lambda: None)
    assert InstrumentChoice.of() == InstrumentChoice("embedded", "embedded", "embedded")
    with pytest.raises(EvaluationError, match="dlib-bin"):
        InstrumentChoice.of(identity="dlib")
    with pytest.raises(EvaluationError, match="dlib-bin"):
        DlibIdentity()


def test_unknown_instruments_are_refused() -> None:
    with pytest.raises(EvaluationError, match="embedded, dlib"):
        InstrumentChoice.of(identity="arcface")
    with pytest.raises(ModelError, match="openface"):
        InstrumentChoice.of(au_estimator="openface")


@pytest.mark.parametrize(
    ("choice", "same"),
    [
        (InstrumentChoice("libreface", "dlib", "embedded"), True),
        (InstrumentChoice("libreface", "embedded", "bisenet"), False),
        (InstrumentChoice("embedded", "dlib", "bisenet"), False),
    ],
)
def test_only_libreface_and_dlib_are_the_paper_s_instruments(
    choice: InstrumentChoice, same: bool
) -> None:
    assert choice.as_in_paper is same


def test_a_picture_without_a_face_reads_as_such() -> None:
    reading = Instruments(InstrumentChoice()).read(torch.full((1, 3, 512, 512), 0.5))
    assert not reading.face
    assert reading.aus is reading.embedding is reading.pose is reading.face_mask is None
