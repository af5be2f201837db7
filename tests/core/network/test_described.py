"""Merged checkpoints that carry their description as a tensor."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from magicface_core import MagicFace
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.described import DESCRIPTION_KEY, described_tensors
from magicface_core.network.unet import to_released_keys


@pytest.fixture
def plain(tiny_checkpoint: Path) -> Checkpoint:
    return load_checkpoint(tiny_checkpoint, "cpu", torch.float32)


@pytest.fixture
def tensors(plain: Checkpoint) -> dict[str, Tensor]:
    assert isinstance(plain.vae, PatchAutoencoder)
    return described_tensors(plain, to_released_keys(plain.denoiser.state_dict()), plain.vae)


def test_it_is_read_like_any_other(
    plain: Checkpoint, tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "described.safetensors"
    save_file(tensors, path, {"prompt": "{}"})  # metadata of somebody else
    found = load_checkpoint(path, "cpu", torch.float32)
    assert found.info == plain.info
    assert found.scheduler_config == plain.scheduler_config
    assert found.fingerprint == plain.fingerprint
    for name in ("denoiser", "id_encoder", "vae"):
        before, after = getattr(plain, name).state_dict(), getattr(found, name).state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[key], after[key]) for key in before)
    assert MagicFace.load(path).checkpoint.info.name == plain.info.name


def test_a_changed_denoiser_is_the_one_that_is_kept(plain: Checkpoint, tmp_path: Path) -> None:
    denoiser = to_released_keys(plain.denoiser.state_dict())
    denoiser["au_aug_mlp.bias"] = denoiser["au_aug_mlp.bias"] + 1
    path = tmp_path / "changed.safetensors"
    save_file(described_tensors(plain, denoiser, None), path)
    with pytest.raises(CheckpointError, match="has no vae"):
        load_checkpoint(path, "cpu", torch.float32)
    found = load_checkpoint(path, "cpu", torch.float32, codec=plain.codec)
    own = plain.denoiser.state_dict()["class_embedding.bias"]
    assert torch.equal(found.denoiser.state_dict()["class_embedding.bias"], own + 1)


def test_a_damaged_description_is_named(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "damaged.safetensors"
    save_file(tensors | {DESCRIPTION_KEY: torch.zeros(9, dtype=torch.uint8)}, path)
    with pytest.raises(CheckpointError, match=rf"{DESCRIPTION_KEY} is not valid JSON"):
        load_checkpoint(path, "cpu", torch.float32)
