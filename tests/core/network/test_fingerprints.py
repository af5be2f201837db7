"""Telling networks of the same shapes apart by their files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from magicface_core.network import load_checkpoint
from magicface_core.network.fingerprints import FIRST_VALUES, fingerprint
from magicface_core.network.tiny import write_tiny_checkpoint
from magicface_core.network.weights import read_entries

WEIGHTS = "diffusion_pytorch_model.safetensors"


def written(path: Path, **tensors: torch.Tensor) -> str:
    save_file(tensors, path)
    return fingerprint(path, read_entries(path))


def test_values_names_and_shapes_count(tmp_path: Path) -> None:
    values = torch.randn(40, generator=torch.Generator().manual_seed(0))
    other = values.clone()
    other[FIRST_VALUES - 1] += 0.01
    found = [
        written(tmp_path / "1.safetensors", a=values, b=torch.zeros(0)),
        written(tmp_path / "2.safetensors", a=other, b=torch.zeros(0)),
        written(tmp_path / "3.safetensors", c=values, b=torch.zeros(0)),
        written(tmp_path / "4.safetensors", a=values.reshape(4, 10), b=torch.zeros(0)),
    ]
    assert len(set(found)) == 4
    assert written(tmp_path / "5.safetensors", b=torch.zeros(0), a=values) == found[0]
    assert written(tmp_path / "6.safetensors", a=values.half(), b=torch.zeros(0).half()) == found[0]


def test_precision_and_file_do_not_change_a_checkpoints(tmp_path: Path) -> None:
    wide = write_tiny_checkpoint(tmp_path / "wide")
    half = write_tiny_checkpoint(tmp_path / "half", dtype=torch.float16)
    found = load_checkpoint(wide, "cpu")
    assert found.fingerprint == load_checkpoint(half, "cpu").fingerprint
    assert found.fingerprint == load_checkpoint(wide, "cpu", torch.bfloat16).fingerprint
    assert replace(found, compute_dtype=torch.float16).fingerprint == found.fingerprint
    other = write_tiny_checkpoint(tmp_path / "other", seed=1)
    assert load_checkpoint(other, "cpu").fingerprint != found.fingerprint


@pytest.mark.parametrize("identity", ["convolution", "controlnet"])
def test_without_an_id_encoder_the_denoiser_counts(tmp_path: Path, identity: str) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity=identity)
    assert load_file(folder / "ID_enc" / WEIGHTS) == {}
    assert json.loads((folder / "ID_enc" / "config.json").read_text()) == {
        "_class_name": "IdentityLatents"
    }
    before = load_checkpoint(folder, "cpu").fingerprint
    path = folder / "denoising_unet" / WEIGHTS
    save_file({k: v + 0.01 for k, v in load_file(path).items()}, path)
    assert load_checkpoint(folder, "cpu").fingerprint != before
