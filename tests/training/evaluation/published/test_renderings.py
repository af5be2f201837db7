"""The pictures that are measured are those that users get."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from magicface_training.evaluation.editor import CheckpointEditor
from magicface_training.evaluation.identities import (
    PreparedIdentity,
    picture_identities,
    prepare_identity,
)
from magicface_training.evaluation.published.renderings import Measured, edit_pictures
from magicface_training.evaluation.records import EditJob

import magicface_core
from magicface_core import AUDelta, MagicFace
from magicface_core.framing.framing import Framing
from magicface_core.pictures.images import load_image

PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"
SMILE = AUDelta(AU12=4, AU6=2)


@pytest.fixture(scope="module")
def mini() -> MagicFace:
    return MagicFace.load("mini")


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packaged portrait in a folder of its own."""
    return Path(shutil.copy(PORTRAIT, tmp_path_factory.mktemp("pictures")))


@pytest.fixture(scope="module")
def subject(mini: MagicFace, portrait: Path) -> PreparedIdentity:
    identity = picture_identities(portrait.parent, 1)[0]
    return prepare_identity(identity, Framing.of(mini.checkpoint.info), mini.perception)


def edited(mini: MagicFace, subject: PreparedIdentity, measured: Measured) -> np.ndarray:
    job: EditJob = SimpleNamespace(delta=SMILE)  # type: ignore[assignment]
    editor = CheckpointEditor(mini.checkpoint)
    return next(edit_pictures(editor, subject, [job], measured)).astype(float)


def detail(picture: np.ndarray) -> float:
    return float(np.abs(np.diff(picture, axis=1)).mean())


def test_pasted_edits_have_the_detail_of_the_photograph(
    mini: MagicFace, subject: PreparedIdentity, portrait: Path
) -> None:
    """Edits start from noise of their own, which hardly shows."""
    found = edited(mini, subject, "pasted")
    result = mini.edit(load_image(portrait), SMILE)
    assert np.abs(found - np.asarray(result.crop, float)).mean() < 0.3
    assert detail(found) > 1.2 * detail(edited(mini, subject, "crop"))


def test_crops_have_the_resolution_of_the_checkpoint(
    mini: MagicFace, subject: PreparedIdentity
) -> None:
    crop = edited(mini, subject, "crop")
    assert crop.shape == (512, 512, 3)
    coarse = crop[2::4, 2::4]  # its 128 pixels, interpolated in between
    assert detail(crop) < 0.35 * detail(coarse)
