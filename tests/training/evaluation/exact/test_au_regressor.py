"""The shipped AU regressor: its file, its error, and what it reads of exact answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.evaluation.exact.au_regressor import (
    ASSET,
    CHIP_SIZE,
    EYES,
    REGRESSOR_FORMAT,
    AURegressor,
    face_chips,
    load_regressor,
    own_error,
    save_regressor,
)
from magicface_training.synthetic import HeadModel, exact_edit, sample_identity, sample_scene
from magicface_training.synthetic.picture.render import render
from safetensors.torch import save_file

from magicface_core.aus import AU_ORDER
from magicface_core.errors import CheckpointError
from magicface_core.files import file_sha256
from magicface_core.pictures.images import to_tensor


def test_the_file_is_small_and_knows_its_error() -> None:
    assert ASSET.stat().st_size <= 1_000_000
    error = own_error()
    assert error["people"] >= 20
    assert error["mse"] < 0.25
    assert error["leakage"] < 0.15, "less than what the acceptance allows an editor"
    assert all(0.85 < slope < 1.15 for slope in error["slope"].values())
    assert list(error["slope"]) == list(error["unit_mse"]) == [f"AU{unit}" for unit in AU_ORDER]


def test_it_reads_exact_answers_of_a_test_identity(head_model: HeadModel) -> None:
    identity = sample_identity(head_model, 3)
    scene = sample_scene(np.random.default_rng(5), pose=12.0)
    units = [0, 2, 6, 11]
    frames = [exact_edit(scene, 4 * np.eye(12, dtype=np.float32)[unit]) for unit in units]
    source, *answers = (render(head_model, identity, frame, 128) for frame in [scene, *frames])
    pictures = torch.cat([to_tensor(answer.image) for answer in answers])
    before = to_tensor(source.image)
    found = load_regressor().changes(before, pictures, source.points5[:2])
    assert found.shape == (4, 12)
    assert found.argmax(1).tolist() == units
    assert np.abs(found - 4 * np.eye(12)[units]).mean() < 0.4
    nothing = load_regressor().changes(before, before, source.points5[:2])
    assert np.abs(nothing).max() < 0.5


def test_chips_have_the_eyes_in_place() -> None:
    picture = torch.zeros(1, 3, 128, 128)
    picture[..., 58:62, 50:54] = 1
    chip = face_chips(picture, np.array([[52.0, 60.0], [80.0, 60.0]]))
    assert chip.shape == (1, 3, CHIP_SIZE, CHIP_SIZE)
    row, column = divmod(int(chip[0, 0].argmax()), CHIP_SIZE)
    assert abs(column - EYES[0, 0]) <= 2
    assert abs(row - EYES[0, 1]) <= 2


def test_weights_survive_the_file(tmp_path: Path) -> None:
    network, path = AURegressor().eval(), tmp_path / "regressor.safetensors"
    save_regressor(network, path, {"held_out": {"mse": 1.5}})
    chips = torch.rand(2, 3, CHIP_SIZE, CHIP_SIZE)
    assert torch.allclose(load_regressor(path)(chips, chips), network(chips, chips), atol=0.02)
    assert own_error(path) == {"mse": 1.5}


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    network, files = AURegressor(), set()
    for number in range(12):
        path = tmp_path / f"{number}.safetensors"
        save_regressor(network, path, {"held_out": {"mse": 1.5}, "recipe": {"seed": 0}})
        files.add(file_sha256(path))
    assert len(files) == 1


NOT_JSON = {REGRESSOR_FORMAT: "[}"}
NO_WEIGHTS = {REGRESSOR_FORMAT: "{}"}


@pytest.mark.parametrize("metadata", [None, {"format": "another"}, NOT_JSON, NO_WEIGHTS])
def test_other_files_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.zeros(1)}, path, metadata)
    with pytest.raises(CheckpointError, match=r"x\.safetensors"):
        load_regressor(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="Reinstall the package"):
        load_regressor(tmp_path / "absent.safetensors")
