"""The reader of AU changes that training may ask: its file, its cuts, its use in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from magicface_training import au_reader, au_regressor
from magicface_training.au_reader import central_chips, cut_window, faces_of, reader_for
from magicface_training.autoencoder import main as fit_autoencoder
from magicface_training.config import Stage, load_config
from magicface_training.data.edit_sets import EditSets
from magicface_training.picture_error import Pictures
from magicface_training.run_settings import ObjectiveConfig
from magicface_training.settings import ConfigError
from magicface_training.train import train

from magicface_core.evaluation.au_regressor import CHIP_SIZE, AURegressor, own_error, save_regressor
from magicface_core.files import file_sha256
from tests.training.conftest import CONFIGS

SIDE, SCENES, EXPRESSIONS = 96, 2, 3


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the reader's format."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("reader") / "reader.safetensors"
    save_regressor(AURegressor(), path, {"held_out": {"mse": 9.0}})
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Edit sets of noise at 96 pixels, where AU k makes row k of the middle brighter."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    people, count = 22, SCENES * EXPRESSIONS
    au = rng.uniform(0, 5, (people, count, 12)).astype(np.float32)
    image = np.full((people, count, 3, SIDE, SIDE), 60, np.uint8)
    image[..., 40:52, 40:56] += (20 * au)[:, :, None, :, None].astype(np.uint8)
    mask = np.full((people, count, SIDE * SIDE // 8), 255, np.uint8)
    np.savez(
        folder / "shard.npz",
        image=image,
        condition=np.zeros_like(image),
        mask=mask,
        au=au,
        seed=np.arange(people),
        scenes=np.array(SCENES),
    )
    return folder


def test_one_small_command_gives_the_same_file_twice(faces: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        words = ["--data", str(faces), "--out", str(path), "--steps", "2"]
        assert au_reader.main(words) == 0
    assert file_sha256(paths[0]) == file_sha256(paths[1])
    assert own_error(paths[0])["mse"] > 0


def test_it_learns_on_people_other_than_those_it_is_measured_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def remember(taught: au_regressor.Faces, *_: object) -> AURegressor:
        seen["taught"] = taught.aus
        return AURegressor()

    monkeypatch.setattr(au_reader, "train", remember)
    au_reader.make(faces, tmp_path / "x.safetensors", au_regressor.Recipe())
    everyone = faces_of(EditSets(faces)).aus
    left = [row for row in everyone if not any(torch.equal(row, other) for other in seen["taught"])]
    assert len(left) == 4, "two people of 22, two scenes each"
    assert torch.equal(torch.stack(left), everyone[[0, 1, 40, 41]])


def test_a_folder_without_shards_is_named(tmp_path: Path) -> None:
    words = ["--data", str(tmp_path), "--out", str(tmp_path / "x.safetensors")]
    assert au_reader.main(words) == 2


def test_every_scene_is_a_row_with_the_labels_of_its_pictures(faces: Path) -> None:
    sets = EditSets(faces)
    found = faces_of(sets)
    assert found.chips.shape == (44, EXPRESSIONS, 3, 96, 96)
    assert torch.equal(found.aus[1], torch.from_numpy(sets.au[0, 3:]))
    assert torch.equal(found.chips[1], torch.from_numpy(sets.image[0, 3:]))


def test_cuts_lie_where_training_windows_put_the_middle() -> None:
    pictures = torch.arange(96.0).expand(2, 1, 96, 96)
    rng = np.random.default_rng(0)
    starts = {int(cut_window(pictures, rng)[0, 0, 0, 0]) for _ in range(50)}
    assert starts == {0, 8, 16}
    assert cut_window(pictures, rng).shape[-2:] == (CHIP_SIZE, CHIP_SIZE)
    assert int(central_chips(pictures)[0, 0, 0, 0]) == 8


def test_equal_pictures_cost_nothing_and_inexact_pairs_never_count(reader: Path) -> None:
    objective = ObjectiveConfig(au_weight=1.0, au_reader=str(reader))
    network = reader_for([objective], SIDE)
    generator = torch.Generator().manual_seed(1)
    identity = torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1
    target = torch.rand(2, 3, SIDE, SIDE, generator=generator) * 2 - 1
    other = torch.rand(2, 3, SIDE, SIDE, generator=generator, requires_grad=True)
    exact = torch.tensor([True, False])
    shown = Pictures(SimpleNamespace(), identity, target, target[:, :1], None, exact, network)  # type: ignore[arg-type]
    assert float(shown.reading_error(target)) == 0
    shown.reading_error(other).backward()
    assert other.grad is not None
    assert other.grad[0].abs().max() > 0
    assert other.grad[1].abs().max() == 0
    assert all(p.grad is None for p in network.parameters())  # type: ignore[union-attr]


def test_it_is_opened_only_where_it_counts(reader: Path) -> None:
    unused = ObjectiveConfig(au_reader=str(reader))
    assert reader_for([unused], SIDE) is None
    with pytest.raises(ConfigError, match=r"needs objective\.au_reader"):
        reader_for([unused, replace(unused, au_weight=1.0, au_reader="")], SIDE)
    with pytest.raises(ConfigError, match="80 pixels or more, but these have 64"):
        reader_for([replace(unused, au_weight=1.0)], 64)


def test_a_run_asks_it_from_its_stage_on(
    faces: Path, reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    measure = Pictures.reading_error

    def counted(self: Pictures, edit: torch.Tensor) -> torch.Tensor:
        error = measure(self, edit)
        asked.append(float(error.detach()))
        return error

    monkeypatch.setattr(Pictures, "reading_error", counted)
    small = tmp_path / "autoencoder"
    fit = ["--data", str(faces), "--out", str(small), "--steps", "1", "--latent-channels", "4"]
    assert fit_autoencoder([*fit, "--width", "0"]) == 0
    stage = Stage(1, objective={"au_weight": 0.01, "au_reader": str(reader)})
    overrides = {
        "data.train": faces,
        "data.validation": faces,
        "data.window": 0,
        "model.autoencoder": small,
        "run.output": tmp_path / "run",
        "info.resolution": SIDE,
        "objective.prediction": "sample",
        "objective.error": "picture",
        "optim.steps": 2,
        "optim.decay_steps": 0,
        "run.validate_every": 100,
    }
    config = load_config(CONFIGS / "tiny-cpu.yaml", [f"{k}={v}" for k, v in overrides.items()])
    train(replace(config, stages=(stage,)))
    assert len(asked) == 1
    assert asked[0] > 0
