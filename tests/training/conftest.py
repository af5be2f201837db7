"""Made-up edit sets, an autoencoder for them and a configuration that trains in a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.autoencoder import main as fit_autoencoder
from magicface_training.config import TrainConfig, load_config
from magicface_training.data.edit_sets import EditSets
from magicface_training.train import train

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
SCENES, EXPRESSIONS, SIZE = 2, 3, 32
Configure = Callable[..., TrainConfig]


@pytest.fixture(scope="session", autouse=True)
def one_cpu_thread() -> Iterator[None]:
    """Bit-identical results need one device and one number of threads."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ACCELERATE_USE_CPU", "true")
        patch.setenv("OMP_NUM_THREADS", "1")
        yield
    torch.set_num_threads(threads)


def write_shard(path: Path, identities: int, seed: int) -> None:
    """Smooth noise; expression e of scene s has AU1 = e and AU2 = s, and differs in a square."""
    rng = np.random.default_rng(seed)
    pictures = SCENES * EXPRESSIONS
    coarse = rng.integers(40, 200, (identities, SCENES, 3, 4, 4))
    smooth = np.kron(coarse, np.ones((8, 8), int)).repeat(EXPRESSIONS, axis=1)
    mask = np.zeros((identities, pictures, SIZE, SIZE), np.uint8)
    mask[..., 8:24, 8:24] = 1
    image, au = smooth.copy(), np.zeros((identities, pictures, 12), np.float32)
    for index in range(pictures):
        scene, expression = divmod(index, EXPRESSIONS)
        image[:, index, :, 12:20, 12:20] += 25 * expression
        au[:, index, :2] = expression, scene
    np.savez(
        path,
        image=image.astype(np.uint8),
        condition=np.where(mask[:, :, None] > 0, 0, smooth).astype(np.uint8),
        mask=np.packbits(mask.reshape(identities, pictures, -1), axis=2),
        au=au,
        seed=np.arange(identities) + seed,
        scenes=np.array(SCENES),
    )


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_shard(folder / "shard_0.npz", 3, seed=0)
    write_shard(folder / "shard_3.npz", 2, seed=3)
    return folder


@pytest.fixture(scope="session")
def edit_sets(shards: Path) -> EditSets:
    return EditSets(shards)


@pytest.fixture(scope="session")
def autoencoder(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    settings = ["--steps", "2", "--batch", "4", "--latent-channels", "4", "--threads", "1"]
    assert fit_autoencoder(["--data", str(shards), "--out", str(folder), *settings]) == 0
    return folder


@pytest.fixture(scope="session")
def trial(shards: Path, autoencoder: Path) -> Callable[[Path], list[str]]:
    """Overrides for an output folder: tiny-cpu.yaml becomes two steps on the made-up edit sets."""
    return lambda output: [
        f"data.train={shards}",
        f"data.validation={shards}",
        f"model.autoencoder={autoencoder}",
        f"run.output={output}",
        "info.resolution=32",
        "optim.steps=2",
        "optim.decay_steps=0",
        "run.log_every=1",
        "run.validate_every=100",
        "run.tracker=none",
        "validation.rows=8",
        "validation.bins=2",
        "validation.identities=0",
    ]


@pytest.fixture
def overrides(trial: Callable[[Path], list[str]], tmp_path: Path) -> list[str]:
    """The trial in this test's folder."""
    return trial(tmp_path / "run")


@pytest.fixture
def configure(overrides: list[str]) -> Configure:
    """``configure("optim.steps=4", ...)``: the tiny configuration with further overrides."""
    return lambda *more: load_config(CONFIGS / "tiny-cpu.yaml", [*overrides, *more])


@pytest.fixture(scope="session")
def straight(trial: Callable[[Path], list[str]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state after four steps in one go."""
    output = tmp_path_factory.mktemp("straight")
    train(load_config(CONFIGS / "tiny-cpu.yaml", [*trial(output), "optim.steps=4"]))
    return output / "state-00000004"
