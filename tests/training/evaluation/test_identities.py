"""Whose faces a run edits: hashes, order, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from magicface_training.evaluation import identities
from magicface_training.evaluation.identities import (
    ProtocolError,
    picture_identities,
    prepare_identity,
    synthetic_identities,
)
from magicface_training.evaluation.records import EvaluationError
from magicface_training.synthetic import HeadModel
from PIL import Image

from magicface_core.errors import ImageError
from magicface_core.framing.framing import Framing
from magicface_core.perception import Perception


def write_picture(path: Path, shade: int) -> None:
    Image.new("RGB", (8, 8), (shade, shade, shade)).save(path)


def test_pictures_are_named_hashed_and_sorted(tmp_path: Path) -> None:
    write_picture(tmp_path / "b b.png", 1)
    write_picture(tmp_path / "a.jpg", 2)
    (tmp_path / "notes.txt").write_text("no picture")
    found = picture_identities(tmp_path)
    contents = ((tmp_path / name).read_bytes() for name in ("a.jpg", "b b.png"))
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    assert [one.sha256 for one in found] == digests
    assert [one.name for one in found] == [f"a-{digests[0][:8]}", f"b-b-{digests[1][:8]}"]
    assert found[0].load().size == (8, 8)
    assert [one.name for one in picture_identities(tmp_path, 1)] == [found[0].name]


def test_the_noise_of_a_face_does_not_depend_on_its_place(tmp_path: Path) -> None:
    write_picture(tmp_path / "b.png", 1)
    [alone] = picture_identities(tmp_path)
    write_picture(tmp_path / "a.png", 2)
    assert picture_identities(tmp_path)[1].seed == alone.seed


def test_senseless_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="not a folder"):
        picture_identities(tmp_path / "absent")
    with pytest.raises(EvaluationError, match="holds 0 pictures"):
        picture_identities(tmp_path)
    write_picture(tmp_path / "a.png", 1)
    with pytest.raises(EvaluationError, match="at least 2"):
        picture_identities(tmp_path, 2)
    shutil.copy(tmp_path / "a.png", tmp_path / "b.png")
    with pytest.raises(EvaluationError, match="same picture"):
        picture_identities(tmp_path)


class Blind(Perception):
    """Finds no face."""

    def __init__(self) -> None:
        """Nothing to load."""

    def faces(self, image: object, limit: int | None = None) -> list:
        return []


def test_a_picture_without_a_face_is_kept_as_such(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", 1)
    [identity] = picture_identities(tmp_path)
    subject = prepare_identity(identity, Framing(resolution=64), Blind())
    assert subject.source is subject.prepared is None
    assert subject.identity == identity


def test_what_is_no_picture_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"not a picture")
    [identity] = picture_identities(tmp_path)
    with pytest.raises(ImageError):
        prepare_identity(identity, Framing(resolution=64), Blind())


def test_rendered_identities_follow_from_their_seed(
    head_model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    monkeypatch.setattr(identities, "RENDERED_SIZE", 64)
    first, second = synthetic_identities(3, 2)
    assert (first.name, first.kind, first.seed) == ("synthetic-test-00003", "synthetic", 3)
    picture = first.load()
    assert np.array_equal(picture, synthetic_identities(3, 1)[0].load())
    assert not np.array_equal(picture, second.load())
    subject = prepare_identity(first, Framing(resolution=64), Blind())
    assert subject.identity.sha256 == hashlib.sha256(picture.tobytes()).hexdigest()


def test_training_seeds_are_refused() -> None:
    with pytest.raises(ProtocolError, match="training split"):
        synthetic_identities(20_000, 1)
