"""Checkpoints as single files in one folder: known by their tensors, not by their names."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, predict
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint, merge_checkpoint, weights
from magicface_core.network.merged import open_parts
from magicface_core.network.single_files import MAX_FILES, SingleFiles, recognise

OPTIONS = {"block_out_channels", "cross_attention_dim", "in_channels", "attention_head_dim"}


def refusal(place: Path, **options: Any) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(place, "cpu", **options)
    return str(caught.value)


def same(found: torch.nn.Module, expected: torch.nn.Module) -> bool:
    ours, theirs = found.state_dict(), expected.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def settings(network: Any) -> dict[str, Any]:
    config = json.loads(network.to_json_string())
    return {k: config[k] for k in OPTIONS} | {
        "blocks": [type(block).__name__ for block in (*network.down_blocks, *network.up_blocks)]
    }


def prediction(checkpoint: Checkpoint) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    pictures = torch.rand(2, 3, 128, 128, generator=generator)
    with torch.no_grad():
        identity = encode_identities(checkpoint, pictures[:1])
        background = encode_background(checkpoint, pictures[1:])
        noise = torch.randn(1, 4, 16, 16, generator=generator)
        return predict(
            checkpoint,
            project_identity(checkpoint, identity),
            noise,
            background,
            torch.full((1, 12), 2.0),
            500,
        )


# --- what loads -----------------------------------------------------------------------------------


def test_two_files_load_as_the_networks_they_were(
    two_files: Path, ldm_file: Path, released: Any
) -> None:
    loaded = load_checkpoint(two_files, "cpu", vae=ldm_file)
    assert same(loaded.denoiser, released.denoiser)
    assert same(loaded.id_encoder, released.id_encoder)
    assert same(loaded.vae, released.vae)
    assert settings(loaded.denoiser) == settings(released.denoiser)
    assert settings(loaded.id_encoder) == settings(released.id_encoder)
    assert torch.equal(loaded.prompt_embeds, torch.ones(1, 3, 16))
    assert (loaded.info.name, loaded.info.resolution) == ("files", 512)
    assert loaded.scheduler_config["beta_schedule"] == "scaled_linear"


def test_they_predict_what_the_released_folders_do(
    two_files: Path, ldm_file: Path, released: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for name, network in (("denoising_unet", "b"), ("ID_enc", "a")):
        (folder / name).mkdir(parents=True)
        target = folder / name / weights.WEIGHTS_NAMES[0]
        shutil.copy(two_files / f"{network}.safetensors", target)
    config = {k: v for k, v in released.id_encoder.config.items() if not k.startswith("_")}
    (folder / "ID_enc" / "config.json").write_text(json.dumps(config))
    # The denoiser's folder comes without config.json: Stable Diffusion 1.5's layout is known.
    released.vae.save_config(folder / "vae")
    save_file(released.vae.state_dict(), folder / "vae" / weights.WEIGHTS_NAMES[0])
    expected = prediction(load_checkpoint(folder, "cpu", prompt_embeds=torch.ones(1, 3, 16)))
    found = prediction(load_checkpoint(two_files, "cpu", vae=ldm_file))
    assert torch.equal(found, expected)
    assert float(found.abs().max()) > 0


def test_a_vae_beside_them_is_found(two_files: Path, ldm_file: Path, released: Any) -> None:
    shutil.copy(ldm_file, two_files / "z.safetensors")
    (two_files / "magicface.json").write_text('{"resolution": 64, "steps": 3}')
    loaded = load_checkpoint(two_files, "cpu", torch.float16)
    assert loaded.info.steps == 3
    assert {p.dtype for p in loaded.vae.parameters()} == {torch.float16}
    half = {k: v.half() for k, v in released.vae.state_dict().items()}
    assert all(torch.equal(v, half[k]) for k, v in loaded.vae.state_dict().items())


def test_a_vae_folder_beside_them_wins(two_files: Path, ldm_file: Path, released: Any) -> None:
    released.vae.save_config(two_files / "vae")
    save_file(released.vae.state_dict(), two_files / "vae" / weights.WEIGHTS_NAMES[0])
    assert same(load_checkpoint(two_files, "cpu").vae, released.vae)


@pytest.mark.parametrize("name", ["a", "b"])
def test_either_file_stands_for_the_folder(two_files: Path, ldm_file: Path, name: str) -> None:
    loaded = load_checkpoint(two_files / f"{name}.safetensors", "cpu", vae=ldm_file)
    assert loaded.denoiser.config.in_channels == 8


def test_a_named_file_wins_over_others_of_its_kind(
    two_files: Path, ldm_file: Path, released: Any
) -> None:
    half = {k: v.half() for k, v in released.denoising_unet.items()}
    save_file(half, two_files / "half.safetensors")
    message = refusal(two_files, vae=ldm_file)
    assert "several files of denoising_unet: b.safetensors, half.safetensors" in message
    chosen = load_checkpoint(two_files / "b.safetensors", "cpu", vae=ldm_file)
    assert same(chosen.denoiser, released.denoiser)


def test_they_can_be_merged(two_files: Path, ldm_file: Path, tmp_path: Path) -> None:
    path = merge_checkpoint(two_files, tmp_path / "merged.safetensors")
    one, other = (load_checkpoint(place, "cpu", vae=ldm_file) for place in (two_files, path))
    assert same(one.denoiser, other.denoiser)
    assert same(one.id_encoder, other.id_encoder)


def test_links_into_a_download_cache_are_followed(
    two_files: Path, ldm_file: Path, tmp_path: Path
) -> None:
    """As huggingface_hub lays out what it downloads."""
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for path in two_files.iterdir():
        (snapshot / path.name).symlink_to(os.path.relpath(path, snapshot))
    assert load_checkpoint(snapshot, "cpu", vae=ldm_file).info.name == "snapshot"


def test_recognised_by_tensors(two_files: Path, ldm_file: Path, tmp_path: Path) -> None:
    parts = [recognise(two_files / f"{name}.safetensors") for name in ("a", "b", "prompt_embeds")]
    assert parts == ["ID_enc", "denoising_unet", None]
    assert recognise(ldm_file) == "vae"
    parts = open_parts(two_files)
    assert isinstance(parts, SingleFiles)
    assert not parts.has("vae")
    assert not parts.has("attribute_controller")


# --- what does not --------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "wanted"), [("a", "an ID encoder"), ("b", "a denoising UNet")])
def test_a_missing_network_is_named(
    two_files: Path, ldm_file: Path, name: str, wanted: str
) -> None:
    (two_files / f"{name}.safetensors").unlink()
    message = refusal(two_files, vae=ldm_file)
    assert f"{two_files} lacks {wanted}" in message
    assert "prompt_embeds.safetensors (none)" in message
    (rest,) = {"a", "b"} - {name}
    assert f"lacks {wanted}" in refusal(two_files / f"{rest}.safetensors", vae=ldm_file)


def test_missing_vae_and_prompt_are_named(two_files: Path, ldm_file: Path) -> None:
    message = refusal(two_files)
    assert "has no vae/: connect a Stable Diffusion 1.5 VAE" in message
    assert "magicface models download sd15-vae" in message
    (two_files / "prompt_embeds.safetensors").unlink()
    message = refusal(two_files, vae=ldm_file)
    assert "lacks prompt_embeds.safetensors" in message
    assert "magicface models download sd15-text-encoder" in message


def test_missing_and_wrong_tensors_are_named_before_any_is_read(
    two_files: Path, ldm_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("a tensor was read"))
    path = two_files / "a.safetensors"
    tensors = load_file(path)
    tensors["conv_in.bias"] = torch.zeros(3)
    tensors["stray"] = torch.zeros(1)
    del tensors["conv_out.bias"]
    save_file(tensors, path)
    message = refusal(path, vae=ldm_file, prompt_embeds=torch.ones(1, 3, 16))
    assert f"{path} does not fit Stable Diffusion 1.5's layout" in message
    for fault in ("conv_out.bias missing", "stray unexpected", "has shape [3], expected [32]"):
        assert fault in message


def test_another_layout_needs_its_config(golden_files: Path, ldm_file: Path) -> None:
    message = refusal(golden_files, vae=ldm_file)
    assert "not in Stable Diffusion 1.5's layout" in message
    assert "config.json" in message


@pytest.fixture
def golden_files(two_files: Path) -> Path:
    """The golden networks, whose 16 channels no 32 groups can divide."""
    golden = Path(__file__).parents[2] / "golden" / "network"
    for name, part in (("a", "ID_enc"), ("b", "denoising_unet")):
        source = golden / part / weights.WEIGHTS_NAMES[0]
        shutil.copy(source, two_files / f"{name}.safetensors")
    return two_files


def test_quantised_weights_are_refused(two_files: Path, ldm_file: Path, released: Any) -> None:
    tensors = released.denoising_unet
    tensors["conv_in.weight"] = tensors["conv_in.weight"].to(torch.int8)
    save_file(tensors, two_files / "b.safetensors")
    assert "conv_in.weight is of type I8" in refusal(two_files, vae=ldm_file)


def test_a_damaged_file_is_named(two_files: Path, ldm_file: Path) -> None:
    (two_files / "c.safetensors").write_bytes(b"\x80\x04\x95 a pickle")
    assert f"{two_files / 'c.safetensors'}" in refusal(two_files, vae=ldm_file)


def test_what_is_no_file_is_passed_over(two_files: Path, ldm_file: Path) -> None:
    os.mkfifo(two_files / "pipe.safetensors")  # reading it would wait for ever
    (two_files / "dangling.safetensors").symlink_to("nowhere")
    (two_files / "zero.safetensors").symlink_to("/dev/zero")
    (two_files / "folder.safetensors").mkdir()
    assert load_checkpoint(two_files, "cpu", vae=ldm_file).info.name == "files"


def test_a_folder_of_everything_is_not_searched(two_files: Path) -> None:
    for number in range(MAX_FILES):
        (two_files / f"{number}.safetensors").touch()
    assert f"holds {MAX_FILES + 3} .safetensors files" in refusal(two_files)


def test_a_folder_without_anything(tmp_path: Path) -> None:
    assert "lacks the folder denoising_unet/" in refusal(tmp_path)
