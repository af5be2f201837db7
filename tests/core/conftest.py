"""The published code's recorded values, small checkpoints in memory, pictures of faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.perception import Perception
from magicface_core.pictures.images import to_tensor

GOLDEN_NETWORK = Path(__file__).parents[1] / "golden" / "network"


@pytest.fixture(scope="session")
def golden() -> dict[str, Tensor]:
    """Inputs and what the published code makes of them; described in manifest.json."""
    return load_file(GOLDEN_NETWORK / "golden.safetensors")


@pytest.fixture(scope="session")
def golden_checkpoint(golden: dict[str, Tensor]) -> Checkpoint:
    """Small random weights in the released layout, read in place; not to be changed."""
    checkpoint = load_checkpoint(GOLDEN_NETWORK, "cpu", torch.float32, golden["prompt_embeds"])
    checkpoint.info = replace(checkpoint.info, resolution=golden["source"].shape[-1])
    return checkpoint


@pytest.fixture(scope="session")
def tiny(tiny_checkpoint: Path) -> Checkpoint:
    """The tiny checkpoint, loaded; not to be changed."""
    return load_checkpoint(tiny_checkpoint, "cpu")


@pytest.fixture(scope="session")
def perception() -> Perception:
    """The embedded networks."""
    return Perception.load()


@pytest.fixture(scope="session")
def photo(astronaut: Path) -> Tensor:
    """Scikit-image's astronaut, [1,3,512,512], one face 91 pixels wide."""
    return to_tensor(Image.open(astronaut))


@pytest.fixture(scope="session")
def group(astronaut: Path) -> Tensor:
    """[1,3,640,900] with three faces whose order differs in every way of numbering them.

    Middle sized at the left (face centre about 136, 284), large at the lower right (662, 490),
    small at the top (399, 107).
    """
    head = Image.open(astronaut).convert("RGB").crop((110, 10, 340, 190))
    canvas = Image.new("RGB", (900, 640), (190, 195, 200))
    for scale, *corner in ((1.0, 20, 170), (1.4, 500, 330), (0.85, 300, 10)):
        canvas.paste(head.resize((round(230 * scale), round(180 * scale))), corner)
    return to_tensor(canvas)
