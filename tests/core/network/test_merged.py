"""Merged files: the same networks as the folder; damaged ones say what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from magicface_core import MagicFace
from magicface_core.errors import CheckpointError, OutputError
from magicface_core.network import load_checkpoint, merge_checkpoint, weights
from magicface_core.network.merged import MergedFile
from magicface_core.network.tiny import write_tiny_checkpoint

PARTS = ("denoising_unet", "ID_enc", "vae")


@pytest.fixture(scope="module")
def merged(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny checkpoint as one file; not to be changed."""
    return merge_checkpoint(tiny_checkpoint, tmp_path_factory.mktemp("merged") / "one.safetensors")


@pytest.fixture
def contents(merged: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata, to damage."""
    with safe_open(merged, framework="pt") as file:
        return load_file(merged), dict(file.metadata())


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(path, "cpu")
    return str(caught.value)


def networks(place: Path, **options: Any) -> dict[str, dict[str, Tensor]]:
    checkpoint = load_checkpoint(place, "cpu", **options)
    return {
        "denoiser": checkpoint.denoiser.state_dict(),
        "id_encoder": checkpoint.id_encoder.state_dict(),
        "vae": checkpoint.vae.state_dict(),
        "controller": checkpoint.controller.state_dict() if checkpoint.controller else {},
        "prompt": {"prompt": checkpoint.prompt_embeds},
    }


# --- what loads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["concatenation", "convolution"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_file_and_folder_are_the_same_checkpoint(
    tmp_path: Path, kind: Any, dtype: torch.dtype
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", attribute_controller=kind, mask_dilation=0.1)
    path = merge_checkpoint(folder, tmp_path / "tiny.safetensors")
    expected, found = networks(folder, dtype=dtype), networks(path, dtype=dtype)
    assert bool(found["controller"]) == (kind == "convolution")
    for name, tensors in expected.items():
        assert found[name].keys() == tensors.keys()
        for key, tensor in tensors.items():
            assert found[name][key].dtype == dtype
            assert torch.equal(found[name][key], tensor), (name, key)
    one, other = load_checkpoint(folder, "cpu"), load_checkpoint(path, "cpu")
    assert one.info == other.info
    assert one.scheduler_config == other.scheduler_config


def test_the_library_opens_it(merged: Path) -> None:
    assert MagicFace.load(merged, device="cpu").checkpoint.info.name == "tiny"


def test_layout(merged: Path, tiny_checkpoint: Path, contents: Any) -> None:
    tensors, metadata = contents
    assert {key.partition(".")[0] for key in tensors} == {*PARTS, "prompt_embeds"}
    assert "denoising_unet.au_aug_mlp.weight" in tensors  # the release's own names
    assert set(metadata) == {"format", "magicface", "scheduler", *PARTS}
    for name in PARTS:
        config = json.loads((tiny_checkpoint / name / "config.json").read_text("utf-8"))
        assert json.loads(metadata[name]) == config
    assert [path.name for path in merged.parent.iterdir()] == [merged.name]


def test_precision_can_be_chosen(tiny_checkpoint: Path, merged: Path, tmp_path: Path) -> None:
    half = merge_checkpoint(tiny_checkpoint, tmp_path / "half.safetensors", torch.float16)
    kinds = {key.partition(".")[0]: tensor.dtype for key, tensor in load_file(half).items()}
    assert kinds.pop("prompt_embeds") == torch.float32
    assert set(kinds.values()) == {torch.float16}
    assert half.stat().st_size < merged.stat().st_size
    assert load_checkpoint(half, "cpu").dtype == torch.float32


def test_what_the_folder_lacks_the_file_lacks(
    tiny_checkpoint: Path, tmp_path: Path, contents: Any
) -> None:
    """As with the release: two networks and nothing else."""
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "released"))
    for name in ("magicface.json", "scheduler_config.json", "prompt_embeds.safetensors"):
        (folder / name).unlink()
    vae = Path(shutil.move(folder / "vae", tmp_path / "vae"))
    path = merge_checkpoint(folder, tmp_path / "released.safetensors")
    assert "has no vae/: connect a Stable Diffusion 1.5 VAE" in refusal(path)
    prompt = contents[0]["prompt_embeds"]
    with pytest.raises(CheckpointError, match=r"lacks prompt_embeds.*CLIP"):
        load_checkpoint(path, "cpu", vae=vae)
    loaded = load_checkpoint(path, "cpu", prompt_embeds=prompt, vae=vae)
    assert (loaded.info.name, loaded.info.resolution) == ("released", 512)
    assert loaded.scheduler_config["beta_schedule"] == "scaled_linear"


def test_released_values_without_metadata_of_its_own(contents: Any, tmp_path: Path) -> None:
    tensors, metadata = contents
    del metadata["magicface"], metadata["scheduler"]
    save_file(tensors, tmp_path / "bare.safetensors", metadata)
    loaded = load_checkpoint(tmp_path / "bare.safetensors", "cpu")
    assert (loaded.info.name, loaded.info.steps) == ("bare", 50)


# --- what does not ------------------------------------------------------------------------------


def test_weights_of_something_else(tmp_path: Path, tiny_checkpoint: Path) -> None:
    path = tmp_path / "vae.safetensors"
    shutil.copy(tiny_checkpoint / "vae" / "diffusion_pytorch_model.safetensors", path)
    message = refusal(path)
    assert "no MagicFace checkpoint: its metadata lacks denoising_unet and ID_enc" in message
    assert "merge_checkpoint" in message


def test_stray_tensors_are_named(contents: Any, tmp_path: Path) -> None:
    tensors, metadata = contents
    tensors["text_encoder.weight"] = torch.zeros(1)
    save_file(tensors, tmp_path / "a.safetensors", metadata)
    assert "no network of MagicFace: text_encoder.weight" in refusal(tmp_path / "a.safetensors")


def test_shapes_are_checked_before_any_tensor_is_read(
    contents: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, metadata = contents
    del tensors["vae.to_latents.bias"]
    tensors["denoising_unet.stray"] = torch.zeros(1)
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata)
    monkeypatch.setattr(
        weights, "_read", lambda *_: pytest.fail("a tensor was read before the headers fit")
    )
    assert f"{path}, denoising_unet.* does not fit" in refusal(path)
    del tensors["denoising_unet.stray"]
    save_file(tensors, path, metadata)
    assert "to_latents.bias missing" in refusal(path)


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("text", ["{", "[1]"])
def test_damaged_metadata_is_named(contents: Any, tmp_path: Path, name: str, text: str) -> None:
    tensors, metadata = contents
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {**metadata, name: text})
    assert f'{path}, metadata "{name}"' in refusal(path)


def test_tensors_without_a_configuration(contents: Any, tmp_path: Path) -> None:
    tensors, metadata = contents
    del metadata["vae"]
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, metadata)
    assert f'{path}, metadata "vae", is missing' in refusal(path)


def test_checkpoint_info_is_checked(contents: Any, tmp_path: Path) -> None:
    tensors, metadata = contents
    path = tmp_path / "a.safetensors"
    save_file(tensors, path, {**metadata, "magicface": '{"format_version": 9}'})
    message = refusal(path)
    assert str(path) in message
    assert "update MagicFace" in message


@pytest.mark.parametrize("kept", [0, 5, 60, -16])
def test_truncated_file(merged: Path, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "cut.safetensors"
    path.write_bytes(merged.read_bytes()[:kept])
    message = refusal(path)
    assert str(path) in message
    assert "copy it again" in message


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    path.touch()
    assert f"no checkpoint folder or .safetensors file {path}" in refusal(path)


def test_only_the_header_is_read_at_first(merged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_read", lambda *_: pytest.fail("a tensor was read"))
    file = MergedFile(merged)
    assert file.has("vae")
    assert not file.has("attribute_controller")
    assert "conv_in.weight" in file.part("denoising_unet").shapes()


# --- writing ------------------------------------------------------------------------------------


def test_where_it_cannot_be_written(tiny_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"does not end in \.safetensors"):
        merge_checkpoint(tiny_checkpoint, tmp_path / "a.bin")
    with pytest.raises(OutputError, match="does not exist"):
        merge_checkpoint(tiny_checkpoint, tmp_path / "absent" / "a.safetensors")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["denoising_unet", "ID_enc/config.json"])
def test_an_incomplete_folder_writes_nothing(
    tiny_checkpoint: Path, tmp_path: Path, part: str
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    path = folder / part
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(CheckpointError, match=path.name):
        merge_checkpoint(folder, tmp_path / "a.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_a_failed_write_leaves_nothing(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        merge_checkpoint(tiny_checkpoint, tmp_path / "a.safetensors")
    assert not any(tmp_path.iterdir())


def test_a_value_beyond_float16_is_refused(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    path = weights.find_weights(folder / "ID_enc")
    tensors = load_file(path)
    tensors["conv_in.bias"][0] = 1e6
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"conv_in\.bias has values that float16"):
        merge_checkpoint(folder, tmp_path / "a.safetensors", torch.float16)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_one_tensor_at_a_time(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each tensor is gone when the next but one is read: memory is not that of the checkpoint."""
    alive: list[weakref.ref[Tensor]] = []
    original = weights._read

    def watched(*arguments: Any) -> Tensor:
        assert sum(ref() is not None for ref in alive) <= 2
        tensor = original(*arguments)
        alive.append(weakref.ref(tensor))
        return tensor

    monkeypatch.setattr(weights, "_read", watched)
    merge_checkpoint(tiny_checkpoint, tmp_path / "a.safetensors")
    assert len(alive) > 100
