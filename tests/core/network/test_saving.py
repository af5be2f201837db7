"""Writing checkpoints: what is saved loads again, under the released names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from magicface_core.network import Checkpoint, CheckpointInfo, load_checkpoint, save_checkpoint
from magicface_core.network.weights import read_header

WEIGHTS = "diffusion_pytorch_model.safetensors"
GOLDEN_NETWORK = Path(__file__).parents[2] / "golden" / "network"
INFO = CheckpointInfo(
    name="copy", resolution=128, locality=(), crop_offset=(0.0, 0.25), training={"steps": 3}
)


def save(folder: Path, checkpoint: Checkpoint, dtype: torch.dtype) -> Checkpoint:
    save_checkpoint(
        folder,
        denoiser=checkpoint.denoiser,
        id_encoder=checkpoint.id_encoder,
        vae=checkpoint.vae,
        prompt_embeds=checkpoint.prompt_embeds,
        scheduler_config=checkpoint.scheduler_config,
        info=INFO,
        controller=checkpoint.controller,
        dtype=dtype,
    )
    return load_checkpoint(folder, "cpu", torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_round_trip(tmp_path: Path, golden_checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    loaded = save(tmp_path, golden_checkpoint, dtype)
    for part in ("denoiser", "id_encoder", "vae"):
        state = getattr(loaded, part).state_dict()
        for name, tensor in getattr(golden_checkpoint, part).state_dict().items():
            assert torch.equal(state[name], tensor.to(dtype).float()), name
    assert torch.equal(loaded.prompt_embeds, golden_checkpoint.prompt_embeds)
    assert loaded.info == INFO
    assert loaded.scheduler_config == golden_checkpoint.scheduler_config
    for part in ("denoising_unet", "ID_enc", "vae"):
        tensors = load_file(tmp_path / part / WEIGHTS)
        assert {t.dtype for t in tensors.values()} == {dtype}
    assert not list(tmp_path.rglob(".*"))


def test_names_and_shapes_are_the_released_ones(
    tmp_path: Path, golden_checkpoint: Checkpoint
) -> None:
    save(tmp_path, golden_checkpoint, torch.float32)
    for part in ("denoising_unet", "ID_enc", "vae"):
        assert read_header(tmp_path / part / WEIGHTS) == read_header(
            GOLDEN_NETWORK / part / WEIGHTS
        )
    names = set(read_header(tmp_path / "denoising_unet" / WEIGHTS))
    assert {"au_aug_mlp.weight", "au_aug_mlp.bias"} <= names
    assert not any("class_embedding" in name for name in names)
