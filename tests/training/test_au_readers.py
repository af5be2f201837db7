"""The readers of AU changes that training may ask: what they see, and their use in a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from magicface_training.au_readers import AUReaders, readers_for
from magicface_training.autoencoder import main as fit_autoencoder
from magicface_training.config import Stage, load_config
from magicface_training.evaluation.exact.au_regressor import EYES, AURegressor, save_regressor
from magicface_training.picture_error import Pictures
from magicface_training.run_settings import ObjectiveConfig
from magicface_training.settings import ConfigError
from magicface_training.synthetic import HeadModel
from magicface_training.synthetic.picture.tracks import tracked_vertices
from magicface_training.train import train
from torch import Tensor

from tests.training.conftest import CONFIGS

SIDE, SCENES, EXPRESSIONS = 96, 2, 3


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights in the format of readers."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("reader") / "reader.safetensors"
    save_regressor(AURegressor(), path, {"held_out": {"mse": 9.0}})
    return path


@pytest.fixture(scope="module")
def head_model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def points(head_model: HeadModel) -> Tensor:
    """Places [P,2] of the tracked skin, seen from the front: eyes level, 40 % across."""
    skin = head_model.template[tracked_vertices(head_model)]
    middle = head_model.eye_centers.mean(0)
    wide = float((head_model.eye_centers[0] - head_model.eye_centers[1]).norm())
    seen = (skin - middle)[:, [0, 2]] * 0.8 / wide
    return torch.stack([seen[:, 0], -seen[:, 1] - 0.2], dim=1)


def tracks(points: Tensor, rows: int) -> Tensor:
    """Targets show all skin a little lower than the identity image does."""
    way = torch.tensor([0.0, -0.1]).expand_as(points)
    one = torch.cat([points - way, way, torch.ones(len(points), 1)], dim=1)
    return one.expand(rows, -1, -1)


def pictures(rows: int, seed: int) -> Tensor:
    return torch.rand(rows, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def opened(*files: Path) -> AUReaders:
    objective = ObjectiveConfig(au_weight=1.0, au_readers=tuple(map(str, files)))
    readers = readers_for([objective], torch.device("cpu"))
    assert readers is not None
    return readers


def test_eyes_of_the_identity_image_are_brought_where_the_network_expects_them(
    file: Path, points: Tensor
) -> None:
    shown: list[Tensor] = []

    def remember(before: Tensor, after: Tensor) -> Tensor:
        shown.append(before)
        return torch.zeros(len(after), 12)

    identity = torch.zeros(1, 3, SIDE, SIDE)
    identity[..., 36:41, 26:31] = 1  # the image-left eye: -0.4 across, -0.2 down
    readers = replace(opened(file), networks=(remember,))  # type: ignore[arg-type]
    readers.changes(identity, pictures(2, 1), tracks(points, 2))
    assert len(shown[0]) == 2
    row, column = np.unravel_index(int(shown[0][0, 0].argmax()), (80, 80))
    assert abs(column - EYES[0, 0]) <= 3
    assert abs(row - EYES[0, 1]) <= 3


def test_rows_of_several_identities_keep_their_order(file: Path, points: Tensor) -> None:
    changes, identity, edits = opened(file).changes, pictures(2, 1), pictures(4, 2)
    together = changes(identity, edits, tracks(points, 4))[0]
    alone = [changes(identity[r : r + 1], edits[r::2], tracks(points, 2))[0] for r in range(2)]
    assert torch.allclose(together[0::2], alone[0], atol=1e-4)
    assert torch.allclose(together[1::2], alone[1], atol=1e-4)


def test_equal_pictures_cost_nothing_and_inexact_pairs_never_count(
    file: Path, points: Tensor
) -> None:
    readers, target = opened(file), pictures(2, 2) * 2 - 1
    exact = torch.tensor([True, False])
    shown = Pictures(
        SimpleNamespace(),  # type: ignore[arg-type]
        pictures(1, 1) * 2 - 1,
        target,
        target[:, :1],
        tracks(points, 2),
        exact,
        readers,
    )
    assert float(shown.reading_error(target)) == 0
    other = pictures(2, 3).requires_grad_(True)
    shown.reading_error(other).backward()
    assert other.grad is not None
    assert other.grad[0].abs().max() > 0
    assert other.grad[1].abs().max() == 0
    assert all(
        parameter.grad is None for network in readers.networks for parameter in network.parameters()
    )
    with pytest.raises(ConfigError, match="needs rendered edit sets with points"):
        replace(shown, tracks=None).reading_error(target)


def test_every_network_has_its_say(file: Path, points: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = tmp_path / "other.safetensors"
    save_regressor(AURegressor(), other, {"held_out": {"mse": 9.0}})
    seen = [
        opened(*files).changes(pictures(1, 1), pictures(2, 2), tracks(points, 2))
        for files in ((file,), (other,), (file, other))
    ]
    assert seen[2].shape == (2, 2, 12)
    assert torch.equal(seen[2], torch.cat(seen[:2]))
    assert not torch.allclose(seen[0], seen[1])


def test_they_are_opened_only_where_they_count(file: Path) -> None:
    unused = ObjectiveConfig(au_readers=(str(file),))
    assert readers_for([unused], torch.device("cpu")) is None
    with pytest.raises(ConfigError, match=r"needs objective\.au_readers"):
        readers_for([unused, replace(unused, au_weight=1.0, au_readers=())], torch.device("cpu"))


def write_faces(folder: Path, points: Tensor) -> None:
    """Edit sets of noise at 96 pixels, with points."""
    rng, count = np.random.default_rng(0), SCENES * EXPRESSIONS
    places = points.numpy().astype(np.float16)
    np.savez(
        folder / "shard.npz",
        image=rng.integers(0, 255, (2, count, 3, SIDE, SIDE), np.uint8),
        condition=np.zeros((2, count, 3, SIDE, SIDE), np.uint8),
        mask=np.full((2, count, SIDE * SIDE // 8), 255, np.uint8),
        au=rng.uniform(0, 5, (2, count, 12)).astype(np.float32),
        points=np.broadcast_to(places, (2, count, *places.shape)),
        seen=np.ones((2, count, len(places)), bool),
        seed=np.arange(2),
        scenes=np.array(SCENES),
    )


def test_a_run_asks_them_from_its_stage_on(
    file: Path, points: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []
    measure = Pictures.reading_error

    def counted(self: Pictures, edit: Tensor) -> Tensor:
        error = measure(self, edit)
        asked.append(float(error.detach()))
        return error

    monkeypatch.setattr(Pictures, "reading_error", counted)
    write_faces(tmp_path, points)
    small = tmp_path / "autoencoder"
    fit = ["--data", str(tmp_path), "--out", str(small), "--steps", "1", "--latent-channels", "4"]
    assert fit_autoencoder([*fit, "--width", "0"]) == 0
    stage = Stage(1, objective={"au_weight": 0.01, "au_readers": [str(file)]})
    overrides = {
        "data.train": tmp_path,
        "data.validation": tmp_path,
        "data.window": 0,
        "data.other_scene": 0,
        "data.zero_delta": 0,
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
