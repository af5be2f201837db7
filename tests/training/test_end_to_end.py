"""A folder of videos goes all the way: prepare, cache, train, resume, export, edit.

Only command lines are used, as in the guide.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from face_videos import cut_short, write_face_video, write_scenery
from magicface_training.data_cli import main as data
from magicface_training.export import main as export
from magicface_training.train import main as train
from PIL import Image

from magicface_core import MagicFace
from magicface_core.cli import main as magicface

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).parents[2] / "training" / "configs"
PORTRAIT = Path(__file__).parents[2] / "magicface_core" / "assets" / "portrait.png"
PEOPLE = 3
PREPARE = [
    "--licence", "synthetic faces", "--consent", "nobody is shown", "--picture-size", "64",
    "--minimum-face", "40", "--minimum-sharpness", "0", "--maximum-outside", "1",
    "--validation", "0.3", "--test", "0",
]  # fmt: skip


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people in two scenes each, and three files that give nothing."""
    folder = tmp_path_factory.mktemp("videos")
    for person in range(PEOPLE):
        path = folder / f"person{person}" / "clip.mp4"
        write_face_video(path, identity=40_001 + person, seconds=3, frames_per_second=4, scenes=2)
    (folder / "bad").mkdir()
    (folder / "bad" / "empty.mp4").touch()
    write_scenery(folder / "bad" / "scenery.mp4")
    shutil.copy(folder / "person0" / "clip.mp4", folder / "bad" / "broken.mp4")
    cut_short(folder / "bad" / "broken.mp4", 0.02)
    return folder


@pytest.fixture(scope="module")
def prepared(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("prepared") / "shards"
    assert data(["prepare", str(videos), "--out", str(out), "--workers", "1", *PREPARE]) == 0
    return out


@pytest.fixture(scope="module")
def config(prepared: Path, autoencoder: Path) -> dict[str, Any]:
    """tiny-cpu.yaml on these shards, with latents cached by the command line."""
    words = ["cache", str(prepared), "--autoencoder", str(autoencoder), "--flip", "--batch", "4"]
    assert data(words) == 0
    tree = yaml.safe_load((CONFIGS / "tiny-cpu.yaml").read_text(encoding="utf-8"))
    del tree["stages"]
    shards = {"train": str(prepared), "validation": str(prepared), "cache": f"{prepared}/latents"}
    tree["data"] |= {**shards, "flip": 0.5, "targets_per_identity": 1, "window": 0}
    tree["model"]["autoencoder"] = str(autoencoder)
    tree["optim"]["steps"] = 4
    tree["run"] |= {"save_every": 2, "log_every": 1, "validate_every": 2, "tracker": "none"}
    tree["validation"] = {"rows": 2, "bins": 1, "identities": 0}
    return tree


def train_into(output: Path, config: dict[str, Any], *words: str) -> None:
    path = output / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    assert train(["--config", str(path), "--set", f"run.output={output}", *words]) == 0


@pytest.fixture(scope="module")
def run(config: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps in one go, with a state after two."""
    output = tmp_path_factory.mktemp("run")
    train_into(output, config)
    return output


def files(folder: Path) -> dict[str, str]:
    """Checksums of all files below a folder."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_videos_become_verified_shards(prepared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert data(["verify", str(prepared), "--deep"]) == 0
    assert "are as the manifest says" in capsys.readouterr().out
    assert {path.name for path in prepared.iterdir()} >= {"train", "validation", "card", "frames"}


def test_ray_writes_the_same_bytes(prepared: Path, videos: Path, tmp_path: Path) -> None:
    words = ["prepare", str(videos), "--out", str(tmp_path), *PREPARE]
    assert data([*words, "--engine", "ray", "--workers", "1"]) == 0
    written = files(tmp_path)
    assert any(name.startswith("train/") for name in written)
    assert written == {name: digest for name, digest in files(prepared).items() if name in written}


def test_resumed_run_ends_as_the_straight_one(
    run: Path, config: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(run / "state-00000002", tmp_path / "state-00000002")
    train_into(tmp_path, config, "--resume")
    straight, resumed = run / "state-00000004", tmp_path / "state-00000004"
    weights = [path.name for path in straight.glob("*.safetensors")]
    assert weights
    for name in weights:
        assert (resumed / name).read_bytes() == (straight / name).read_bytes(), name


def test_exported_file_edits_a_face(run: Path, tmp_path: Path) -> None:
    merged, result = tmp_path / "magicface.safetensors", tmp_path / "smile.png"
    assert export([str(run), "--out", str(merged)]) == 0
    words = ["edit", str(PORTRAIT), "--model", str(merged), "-o", str(result)]
    assert magicface([*words, "--au", "AU12=4", "--steps", "2", "--device", "cpu"]) == 0
    with Image.open(result) as edited, Image.open(PORTRAIT) as before:
        assert edited.size == before.size
        assert edited.convert("RGB").tobytes() != before.convert("RGB").tobytes()
    assert MagicFace.load(merged, device="cpu").checkpoint.info.resolution == 64
