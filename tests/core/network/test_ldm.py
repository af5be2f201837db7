"""Autoencoders in the original layout, alone and inside a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file

from magicface_core.errors import CheckpointError
from magicface_core.network.ldm import AUTOENCODER_GROUPS, from_ldm, is_ldm, key_table, to_ldm
from magicface_core.network.planning import plan_autoencoder
from magicface_core.network.single_files import autoencoder_part

CPU = torch.device("cpu")


def loaded(path: Path) -> dict[str, torch.Tensor]:
    planned = plan_autoencoder(autoencoder_part(path))
    planned.fill(torch.float32, CPU)
    return dict(planned.network.state_dict())


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        loaded(path)
    return str(caught.value)


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    same_keys = found.keys() == expected.keys()
    return same_keys and all(torch.equal(found[key], expected[key]) for key in expected)


def test_keys_become_those_of_diffusers(released: Any) -> None:
    original, expected = released.ldm_vae, released.vae.state_dict()
    assert is_ldm(original)
    assert not is_ldm(expected)
    table = key_table(original)
    assert equal(from_ldm(original, table), expected)
    assert to_ldm(expected, table).keys() == original.keys()


def test_diffusers_own_conversion_agrees(released: Any) -> None:
    original = released.ldm_vae
    theirs = convert_ldm_vae_checkpoint(dict(original), dict(released.vae.config))
    assert equal(from_ldm(original, key_table(original)), theirs)


def test_shapes_are_converted_as_tensors_are(released: Any) -> None:
    original = released.ldm_vae
    table = key_table(original)
    shapes = from_ldm({key: tuple(value.shape) for key, value in original.items()}, table)
    tensors = from_ldm(original, table)
    assert shapes == {key: tuple(value.shape) for key, value in tensors.items()}


def test_inside_a_checkpoint(ldm_file: Path, released: Any) -> None:
    assert equal(loaded(ldm_file), released.vae.state_dict())


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_alone(tmp_path: Path, released: Any, layout: str) -> None:
    path = tmp_path / "vae.safetensors"
    tensors = released.ldm_vae if layout == "original" else released.vae.state_dict()
    save_file({**tensors, "loss.discriminator": torch.zeros(1)}, path)
    assert all(key.startswith((*AUTOENCODER_GROUPS, "loss.")) for key in load_file(path))
    assert equal(loaded(path), released.vae.state_dict())


def test_a_diffusers_folder_and_a_whole_pipeline(tmp_path: Path, released: Any) -> None:
    folder = tmp_path / "pipeline" / "vae"
    folder.mkdir(parents=True)
    released.vae.save_config(folder)
    save_file(released.vae.state_dict(), folder / "diffusion_pytorch_model.safetensors")
    for place in (folder, folder.parent):
        assert equal(loaded(place), released.vae.state_dict())
    (folder / "config.json").unlink()
    assert equal(loaded(folder), released.vae.state_dict())


def test_the_scale_is_stable_diffusions(ldm_file: Path) -> None:
    network = plan_autoencoder(autoencoder_part(ldm_file)).network
    assert network.config.scaling_factor == 0.18215


# --- what does not load ---------------------------------------------------------------------------


def changed(path: Path, **tensors: torch.Tensor | None) -> Path:
    found = load_file(path)
    for key, value in tensors.items():
        if value is None:
            del found[f"first_stage_model.{key}"]
        else:
            found[f"first_stage_model.{key}"] = value
    save_file(found, path)
    return path


def test_missing_keys_have_the_names_of_the_file(ldm_file: Path) -> None:
    wrong = {
        "decoder.up.3.block.0.conv1.weight": None,
        "encoder.mid.attn_1.q.bias": None,
        "encoder.mid.attn_1.k.weight": torch.zeros(5, 5, 1, 1),
    }
    message = refusal(changed(ldm_file, **wrong))
    assert "decoder.up.3.block.0.conv1.weight missing" in message
    assert "encoder.mid.attn_1.q.bias missing" in message
    assert "encoder.mid.attn_1.k.weight has shape [5, 5], expected [32, 32]" in message
    assert f"{ldm_file}, first_stage_model.*" in message


def test_another_number_of_latent_channels(ldm_file: Path) -> None:
    """As in Stable Diffusion 3 and Flux."""
    changed(ldm_file, **{"post_quant_conv.weight": torch.zeros(16, 16, 1, 1)})
    assert "not in Stable Diffusion 1.5's layout" in refusal(ldm_file)


def test_stable_diffusion_xl_has_another_scale(ldm_file: Path) -> None:
    tensors = load_file(ldm_file)
    tensors["conditioner.embedders.0.weight"] = torch.zeros(1)
    save_file(tensors, ldm_file)
    assert "is Stable Diffusion XL" in refusal(ldm_file)


def test_a_file_of_something_else(tmp_path: Path, tiny_checkpoint: Path) -> None:
    unet = tiny_checkpoint / "ID_enc" / "diffusion_pytorch_model.safetensors"
    assert "holds no autoencoder" in refusal(unet)
    pickled = tmp_path / "vae.ckpt"
    pickled.write_bytes(b"\x80\x04\x95")
    for path in (pickled, tmp_path / "absent.safetensors", tmp_path / "absent"):
        assert f"no VAE {path}" in refusal(path)
    assert f"{tmp_path} lacks config.json" in refusal(tmp_path)


def test_hostile_keys_and_configurations_end_soon(tmp_path: Path, released: Any) -> None:
    path = tmp_path / "vae.safetensors"
    tensors = {**released.ldm_vae, "encoder.down.999999999.block.888888888.x": torch.zeros(1)}
    save_file(tensors, path)
    assert "does not fit Stable Diffusion 1.5's layout" in refusal(path)
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(released.vae.state_dict(), folder / "diffusion_pytorch_model.safetensors")
    config = {k: v for k, v in released.vae.config.items() if not k.startswith("_")}
    for key, value in {"layers_per_block": 10**9, "block_out_channels": [32] * 10**4}.items():
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        assert f"{key} asks for {10**9 if key[0] == 'l' else 10**4} layers" in refusal(folder)
