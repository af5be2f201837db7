"""One real ComfyUI server on the CPU for all tests of this folder, with pictures and models."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from comfyui_client import Client
from comfyui_graphs import Graph
from comfyui_server import (
    Installation,
    NoComfyUIError,
    Server,
    find_installation,
    make_base,
    working_installation,
)
from PIL import Image
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).parent
TEST_NODES = ROOT / "tests" / "support" / "comfyui_test_nodes.py"
PACKS = {"ComfyUI-MagicFace": ROOT, "magicface_tests.py": TEST_NODES}
EXTRA_PATHS = "tests:\n  base_path: {root}\n  magicface: second_root\n"
SUMMARY = "ComfyUI server tests"
COMPLAINTS = re.compile(r"memory leak|MagicFace.*Warning:")  # at any time, of any test


@pytest.fixture(scope="session")
def installation() -> Installation:
    """ComfyUI, or the tests are skipped and say where it was looked for."""
    try:
        return working_installation()
    except NoComfyUIError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory, tiny_checkpoint: Path, astronaut: Path) -> Path:
    """ComfyUI's data folders with pictures in input/ and checkpoints in two roots."""
    folder = make_base(tmp_path_factory.mktemp("comfyui"), PACKS)
    write_pictures(folder / "input", astronaut)
    write_models(folder, tiny_checkpoint)
    return folder


@pytest.fixture(scope="session")
def server(installation: Installation, base: Path) -> Iterator[Server]:
    with Server(installation, base) as running:
        yield running
        complaints = [line for line in running.log().splitlines() if COMPLAINTS.search(line)]
    assert complaints == []


@pytest.fixture(scope="session")
def client(server: Server) -> Client:
    return Client(server.address)


@pytest.fixture
def graph(client: Client) -> Graph:
    """An empty graph for this server."""
    return client.graph()


def write_pictures(folder: Path, astronaut: Path) -> None:
    """Portraits of one and two people, and pictures nobody can edit."""
    portrait = Image.open(ROOT / "magicface_core" / "assets" / "portrait.png").convert("RGB")
    woman = Image.open(astronaut).convert("RGB")
    portrait.save(folder / "portrait.png")
    woman.save(folder / "astronaut.png")
    portrait.resize((401, 401)).crop((20, 0, 381, 401)).save(folder / "odd.png")  # 361 x 401
    both = Image.new("RGB", (1100, 640), (96, 112, 128))
    both.paste(portrait.resize((600, 600)), (20, 20))
    both.paste(woman.resize((420, 420)), (660, 120))  # the smaller face
    both.save(folder / "two.png")
    transparent = portrait.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(portrait.size))
    transparent.save(folder / "transparent.png")
    Image.linear_gradient("L").convert("RGB").resize((320, 240)).save(folder / "faceless.png")
    Image.new("RGB", (512, 512)).save(folder / "black.png")
    Image.new("RGB", (1, 1), (90, 80, 70)).save(folder / "pixel.png")


def write_models(base: Path, tiny_checkpoint: Path) -> None:
    """A folder and a single file in models/, another folder in a second root, an upscaler."""
    from magicface_core.network.merged import merge_checkpoint
    from magicface_core.network.tiny import write_tiny_checkpoint

    first, second = base / "models" / "magicface", base / "second_root"
    shutil.copytree(tiny_checkpoint, first / "tiny")
    merge_checkpoint(first / "tiny", first / "tiny-single.safetensors")
    write_tiny_checkpoint(second / "other", resolution=64, seed=7)
    without_vae = shutil.copytree(tiny_checkpoint, second / "without-vae")
    shutil.rmtree(without_vae / "vae")
    (base / "extra_model_paths.yaml").write_text(EXTRA_PATHS.format(root=base), encoding="utf-8")
    (base / "models" / "upscale_models").mkdir()
    save_file(upscaler(), base / "models" / "upscale_models" / "twice.safetensors")


def upscaler() -> dict[str, torch.Tensor]:
    """Weights of a Real-ESRGAN Compact network that only doubles every pixel."""
    return {
        "body.0.weight": torch.zeros(4, 3, 3, 3),
        "body.0.bias": torch.zeros(4),
        "body.1.weight": torch.zeros(4),
        "body.2.weight": torch.zeros(12, 4, 3, 3),
        "body.2.bias": torch.zeros(12),
    }


@pytest.fixture(scope="session")
def source_pictures(base: Path) -> dict[str, np.ndarray]:
    """The pictures of input/ as [H, W, 3] bytes, by name without suffix."""
    return {
        path.stem: np.asarray(Image.open(path).convert("RGB"))
        for path in (base / "input").glob("*.png")
    }


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many of these tests ran, so that a run without ComfyUI is not taken for a full one."""
    counts = {
        outcome: sum(
            HERE in Path(ROOT / report.location[0]).parents
            for report in terminalreporter.getreports(outcome)
            if getattr(report, "when", "call") == "call" or outcome in ("skipped", "error")
        )
        for outcome in ("passed", "failed", "error", "skipped")
    }
    try:
        installed = find_installation()
        where = f"ComfyUI {installed.version} in {installed.folder}"
    except (NoComfyUIError, FileNotFoundError) as reason:
        where = str(reason)
    ran = counts["passed"] + counts["failed"]
    terminalreporter.write_line(f"{SUMMARY}: {ran} ran, {counts['skipped']} skipped ({where})")
