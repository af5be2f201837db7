"""Pictures and a tiny checkpoint with random weights, shared by the tests of library and CLI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

if "PYTEST_XDIST_WORKER" in os.environ:  # several processes: threads would wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _no_models_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """An empty model folder, so that "auto" means the embedded backends on every machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAGICFACE_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


@pytest.fixture(scope="session")
def astronaut(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Scikit-image's astronaut (NASA, public domain), 512 x 512, one smiling face."""
    from skimage import data

    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(data.astronaut()).save(path)
    return path


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete checkpoint folder of 64-pixel networks with random weights, region "face"."""
    from magicface_core.network.tiny import write_tiny_checkpoint

    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return write_tiny_checkpoint(folder, resolution=64, guidance=2.0)
