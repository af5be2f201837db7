"""Checkpoint folders: complete ones load, damaged ones say what is wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, predict
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.checkpoint import default_device, resolve_checkpoint
from magicface_core.network.tiny import write_tiny_checkpoint

WEIGHTS = "diffusion_pytorch_model.safetensors"
GOLDEN_NETWORK = Path(__file__).parents[2] / "golden" / "network"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint to damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))


def refusal(folder: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(folder, "cpu")
    return str(caught.value)


def change_json(path: Path, **values: object) -> None:
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**tree, **values}), encoding="utf-8")


# --- what loads ---------------------------------------------------------------------------------


def test_properties(tiny: Checkpoint) -> None:
    assert tiny.device == torch.device("cpu")
    assert tiny.dtype == torch.float32
    assert (tiny.latent_channels, tiny.latent_size) == (4, 8)
    assert tiny.info.name == "tiny"
    assert not any(p.requires_grad for p in tiny.denoiser.parameters())
    assert not tiny.denoiser.training


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(
    golden: dict[str, torch.Tensor], golden_checkpoint: Checkpoint, dtype: torch.dtype
) -> None:
    half = load_checkpoint(GOLDEN_NETWORK, "cpu", dtype, golden["prompt_embeds"])
    assert {half.dtype, half.vae.dtype, half.prompt_embeds.dtype} == {dtype}
    half.info = golden_checkpoint.info
    predictions = []
    with torch.no_grad():
        for checkpoint in (golden_checkpoint, half):
            identity = project_identity(checkpoint, encode_identities(checkpoint, golden["source"]))
            background = encode_background(checkpoint, golden["background"])
            assert background.dtype == identity.reference.keys[0].dtype == checkpoint.dtype
            inputs = (identity, golden["noise"], background, golden["au"], 500)
            predictions.append(predict(checkpoint, *inputs))
    assert predictions[1].dtype == torch.float32
    error = (predictions[1] - predictions[0]).square().mean().sqrt()
    assert float(error / predictions[0].square().mean().sqrt()) < 0.05


def test_a_folder_of_the_release_needs_prompt_and_autoencoder(
    folder: Path, tmp_path: Path, tiny: Checkpoint
) -> None:
    for name in ("magicface.json", "scheduler_config.json", "prompt_embeds.safetensors"):
        (folder / name).unlink()
    vae = shutil.move(folder / "vae", tmp_path / "vae")
    assert "no vae/" in refusal(folder)
    with pytest.raises(CheckpointError, match=r"lacks prompt_embeds\.safetensors; connect"):
        load_checkpoint(folder, "cpu", vae=Path(vae))
    loaded = load_checkpoint(folder, "cpu", prompt_embeds=tiny.prompt_embeds, vae=Path(vae))
    assert loaded.info.resolution == 512
    assert loaded.info.name == "copy"
    assert loaded.scheduler_config["beta_schedule"] == "scaled_linear"


def test_half_precision_files_are_found(folder: Path) -> None:
    path = folder / "ID_enc" / WEIGHTS
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    assert load_checkpoint(folder, "cpu").info.name == "tiny"


def test_default_device_and_type(folder: Path) -> None:
    device = default_device()
    assert device.type in ("cpu", "cuda", "mps")
    loaded = load_checkpoint(folder)
    assert loaded.device.type == device.type
    assert loaded.dtype == (torch.float32 if device.type == "cpu" else torch.float16)


# --- what does not ------------------------------------------------------------------------------


def test_no_folder(tmp_path: Path) -> None:
    message = refusal(tmp_path / "absent")
    assert "absent" in message
    assert "or 'mini'" in message


@pytest.mark.parametrize(
    "part",
    [
        "denoising_unet",
        "ID_enc",
        "vae",
        "prompt_embeds.safetensors",
        f"denoising_unet/{WEIGHTS}",
        f"ID_enc/{WEIGHTS}",
        f"vae/{WEIGHTS}",
        "denoising_unet/config.json",
        "ID_enc/config.json",
        "vae/config.json",
    ],
)
def test_missing_part_is_named(folder: Path, part: str) -> None:
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    message = refusal(folder)
    assert path.name in message
    assert str(folder) in message
    assert "copy" in message or "pass prompt_embeds" in message


def test_missing_controller_is_named(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", attribute_controller="convolution")
    shutil.rmtree(folder / "attribute_controller")
    assert "attribute_controller lacks config.json" in refusal(folder)


def test_wrong_keys_name_the_first_three(folder: Path) -> None:
    path = folder / "denoising_unet" / WEIGHTS
    tensors = load_file(path)
    shape = list(tensors["conv_in.bias"].shape)
    for key in ("au_aug_mlp.weight", "au_aug_mlp.bias"):
        del tensors[key]
    tensors["conv_in.bias"] = torch.zeros(3)
    tensors["stray"] = torch.zeros(1)
    save_file(tensors, path)
    message = refusal(folder)
    assert "au_aug_mlp.weight missing" in message
    assert "au_aug_mlp.bias missing" in message
    assert "stray unexpected" in message
    assert "conv_in.bias" not in message
    assert "and 1 more" in message
    del tensors["stray"]
    tensors["au_aug_mlp.weight"] = torch.zeros(32, 12)
    tensors["au_aug_mlp.bias"] = torch.zeros(32)
    save_file(tensors, path)
    assert f"conv_in.bias has shape [3], expected {shape}" in refusal(folder)


@pytest.mark.parametrize("part", ["denoising_unet", "ID_enc", "vae"])
def test_announced_header_of_two_gigabytes(folder: Path, part: str) -> None:
    path = folder / part / WEIGHTS
    path.write_bytes((2 << 30).to_bytes(8, "little") + path.read_bytes()[8:])
    message = refusal(folder)
    assert f"{2 << 30} bytes" in message
    assert str(path) in message


@pytest.mark.parametrize("kept", [0, 5, 60, -16])
def test_truncated_file(folder: Path, kept: int) -> None:
    path = folder / "ID_enc" / WEIGHTS
    path.write_bytes(path.read_bytes()[:kept])
    message = refusal(folder)
    assert str(path) in message
    assert "copy it again" in message


def test_file_of_something_else(folder: Path) -> None:
    path = folder / "prompt_embeds.safetensors"
    path.write_bytes(b"\x80\x04\x95 not safetensors at all")
    assert str(path) in refusal(folder)
    save_file({"text": torch.zeros(1, 3, 4)}, path)
    assert "expected the key prompt_embeds" in refusal(folder)


@pytest.mark.parametrize("shape", [(1, 3, 5), (2, 3, 4), (3, 4)])
def test_prompt_of_another_shape(folder: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(CheckpointError, match=r"expected \[1, tokens, 4\]"):
        load_checkpoint(folder, "cpu", prompt_embeds=torch.zeros(shape))


@pytest.mark.parametrize("text", ["{", "[1, 2]", '"text"'])
@pytest.mark.parametrize("name", ["ID_enc/config.json", "scheduler_config.json", "magicface.json"])
def test_json_that_is_none(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text, encoding="utf-8")
    message = refusal(folder)
    assert name.rpartition("/")[2] in message
    assert "JSON" in message or "not an object" in message


def test_config_of_no_network(folder: Path) -> None:
    change_json(folder / "ID_enc" / "config.json", down_block_types=["Nonsense", "DownBlock2D"])
    assert "describes no network" in refusal(folder)


def test_channels_must_fit_the_autoencoder(folder: Path, tmp_path: Path) -> None:
    other = write_tiny_checkpoint(tmp_path / "other")
    path = other / "vae"
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    from magicface_core.network.autoencoder import PatchAutoencoder

    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    vae = PatchAutoencoder(**{**settings, "latent_channels": 5})
    save_file(vae.state_dict(), path / WEIGHTS)
    change_json(path / "config.json", latent_channels=5)
    shutil.rmtree(folder / "vae")
    shutil.copytree(path, folder / "vae")
    assert "denoising_unet in_channels is 8, but the autoencoder asks for 10" in refusal(folder)


def test_names_resolve() -> None:
    assert resolve_checkpoint(GOLDEN_NETWORK) == GOLDEN_NETWORK


def test_a_denoiser_that_runs_elsewhere_is_checked_but_not_read(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, "cpu", torch.float32, denoiser_elsewhere=True)
    assert {parameter.device.type for parameter in checkpoint.denoiser.parameters()} == {"meta"}
    assert {parameter.device.type for parameter in checkpoint.id_encoder.parameters()} == {"cpu"}
    assert checkpoint.latent_channels == 4
