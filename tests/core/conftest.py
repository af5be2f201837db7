"""The published code's recorded values, and small checkpoints in memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from magicface_core.network import Checkpoint, load_checkpoint

GOLDEN_NETWORK = Path(__file__).parents[1] / "golden" / "network"


@pytest.fixture(scope="session")
def golden() -> dict[str, Tensor]:
    """Inputs and what the published code makes of them; described in manifest.json."""
    return load_file(GOLDEN_NETWORK / "golden.safetensors")


@pytest.fixture(scope="session")
def golden_checkpoint(golden: dict[str, Tensor]) -> Checkpoint:
    """Small random weights in the released layout, read in place; not to be changed."""
    return load_checkpoint(GOLDEN_NETWORK, "cpu", torch.float32, golden["prompt_embeds"])


@pytest.fixture(scope="session")
def tiny(tiny_checkpoint: Path) -> Checkpoint:
    """The tiny checkpoint, loaded; not to be changed."""
    return load_checkpoint(tiny_checkpoint, "cpu")
