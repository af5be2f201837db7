"""Checks of nodes/memory.py and nodes/progress.py that `test_memory.py` runs inside ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import comfy.model_management as mm
import comfy.ops
import comfy.sd
import torch
from diffusers import AutoencoderKL
from magicface_pack.magicface_core.aus import AUDelta
from magicface_pack.magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_pack.magicface_core.errors import CheckpointError
from magicface_pack.magicface_core.network.checkpoint import load_checkpoint
from magicface_pack.magicface_core.network.tiny import write_tiny_checkpoint
from magicface_pack.magicface_core.pictures.images import to_tensor
from magicface_pack.nodes import files, memory
from magicface_pack.nodes.progress import sampling_progress

DELTAS = [AUDelta(AU12=4), AUDelta(AU4=-2)]
GUIDED = RenderOptions(steps=2, guidance=2.0, seed=3)


def face() -> torch.Tensor:
    return torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def edit(model: memory.LoadedModel, **reports: Any) -> torch.Tensor:
    """Pictures and latents of an edit, flattened."""
    with torch.inference_mode():
        identity = encode_identities(model.load_identity_networks(), face())
        checkpoint = model.load_sampling_networks(2)
        done = render(checkpoint, identity, face(), DELTAS, GUIDED, **reports)
    return torch.cat([done.pictures.flatten(), done.latents.flatten()])


def loaded(folder: Path, dtype: str = "float32", **parts: Any) -> memory.LoadedModel:
    """A tiny checkpoint as the node loads it; parts are vae and clip."""
    original = memory.checkpoint_path
    memory.checkpoint_path = lambda name: write_tiny_checkpoint(folder / name)
    try:
        return memory.load_model("tiny", dtype, **parts)
    finally:
        memory.checkpoint_path = original


def networks(model: memory.LoadedModel) -> Iterator[torch.nn.Module]:
    for patcher in (model.denoiser, model.id_encoder, *model.picture_networks):
        yield patcher.model


def check_edits_are_those_of_the_library(folder: Path) -> None:
    model = loaded(folder)
    plain = load_checkpoint(folder / "tiny", "cpu", torch.float32)
    with torch.inference_mode():
        identity = encode_identities(plain, face())
        expected = render(plain, identity, face(), DELTAS, GUIDED)
    found = edit(model)
    wanted = torch.cat([expected.pictures.flatten(), expected.latents.flatten()])
    assert torch.equal(found, wanted)


def check_every_weight_lies_in_a_layer_that_fetches_it(folder: Path) -> None:
    convolution = write_tiny_checkpoint(folder / "c", attribute_controller="convolution")
    controlled = memory.managed(load_checkpoint(convolution, "cpu", torch.float32))
    for model in (loaded(folder), memory.load_model("mini", "auto"), controlled):
        for network in networks(model):
            for name, module in network.named_modules():
                if list(module.parameters(recurse=False)):
                    assert module.comfy_cast_weights, f"{name}: {type(module)}"
    assert len(controlled.picture_networks) == 2


@contextmanager
def weights_elsewhere(model: memory.LoadedModel) -> Iterator[None]:
    """Parameters without storage, on another device; layers get their weights when they cast."""
    kept = {}
    for network in networks(model):
        for module in network.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                kept[module, name] = parameter.data
                setattr(module, name, torch.nn.Parameter(parameter.data.to("meta"), False))
    original = comfy.ops.cast_bias_weight

    def fetch(layer: torch.nn.Module, given: torch.Tensor, **_: Any) -> tuple[Any, Any, None]:
        weight, bias = (kept.get((layer, name)) for name in ("weight", "bias"))
        return weight.to(given), None if bias is None else bias.to(given), None

    comfy.ops.cast_bias_weight = fetch
    try:
        yield
    finally:
        comfy.ops.cast_bias_weight = original


def check_no_input_is_placed_by_where_weights_lie(folder: Path) -> None:
    """As under --novram, where the weights' device is not the one that computes."""
    model = loaded(folder)
    expected = edit(model)
    with weights_elsewhere(model):
        assert torch.equal(edit(model), expected)


def check_no_carried_picture_is_placed_by_where_weights_lie(folder: Path) -> None:
    settings = {"identity_skip": True, "keep_detail": True, "scheduler": "ddim"}
    place = write_tiny_checkpoint(folder / "moving", motion=2, **settings)
    here = {"compute_device": torch.device("cpu"), "compute_dtype": torch.float32}
    model = memory.managed(replace(load_checkpoint(place, "cpu", torch.float32), **here))
    expected = edit(model)
    with weights_elsewhere(model):
        assert torch.equal(edit(model), expected)


def check_loading_part_of_the_weights_changes_nothing(folder: Path) -> None:
    model = loaded(folder)
    expected = edit(model)
    for patcher in (model.denoiser, model.id_encoder, *model.picture_networks):
        patcher.detach()
        patcher.partially_load(patcher.load_device, 1000)
        assert patcher.loaded_size() < patcher.model_size()
    assert torch.equal(edit(model), expected)


def check_unloaded_models_come_back(folder: Path) -> None:
    first, second = loaded(folder / "a"), memory.load_model("mini", "auto")
    expected = edit(first)
    second.load_sampling_networks(1)
    mm.unload_all_models()
    assert mm.current_loaded_models == []
    assert torch.equal(edit(first), expected)
    names = {type(entry.model.model).__name__ for entry in mm.current_loaded_models}
    assert names == {"MagicFaceDenoiser", "MagicFaceIDEncoder", "MagicFaceAutoencoder"}


def check_precision_of_weights_and_computation(folder: Path) -> None:
    exact = edit(loaded(folder))
    for dtype in ("float16", "bfloat16"):
        model = loaded(folder, dtype)
        weights = {parameter.dtype for parameter in model.checkpoint.denoiser.parameters()}
        assert weights == {memory.DTYPES[dtype]}
        assert model.checkpoint.dtype == torch.float32  # what this device computes best
        assert (edit(model) - exact).abs().mean() < 0.02
        vae_weights = {parameter.dtype for parameter in model.checkpoint.vae.parameters()}
        assert vae_weights == {torch.float32}


@cache
def stable_diffusion_vae() -> comfy.sd.VAE:
    """ComfyUI's VAE of random weights in Stable Diffusion 1.5's own architecture."""
    torch.manual_seed(0)
    network = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    return comfy.sd.VAE(sd=network.state_dict())


def check_a_connected_vae_encodes_and_decodes(folder: Path) -> None:
    vae = stable_diffusion_vae()
    model = loaded(folder, vae=vae)
    assert model.picture_networks == ()
    with torch.inference_mode():
        codec = model.load_sampling_networks(1).codec
        latents = codec.encode_pictures(face())
        assert codec.latent_channels == latents.shape[1] == 4
        assert codec.reduction == 32 // latents.shape[2] == 8
        torch.testing.assert_close(latents, vae.encode(face().movedim(1, -1)))
        decoded = codec.decode_pictures(latents)
        torch.testing.assert_close(decoded, vae.decode(latents).movedim(-1, 1))
    assert edit(model).isfinite().all()


def check_the_denoiser_is_called_back_after_the_vae(folder: Path) -> None:
    """A small card holds one of the two: encoding must not leave the other without its place."""
    model = loaded(folder, vae=stable_diffusion_vae())
    codec = model.load_sampling_networks(1).codec
    model.denoiser.detach()
    mm.current_loaded_models.clear()
    with torch.inference_mode():
        codec.encode_pictures(face())
    assert any(entry.model is model.denoiser for entry in mm.current_loaded_models)


def check_a_vae_that_does_not_fit_is_refused(folder: Path) -> None:
    said = ""
    try:
        memory.load_model("mini", "auto", vae=stable_diffusion_vae())
    except CheckpointError as error:
        said = str(error)
    assert "connected VAE has 4: disconnect it" in said


class TextEncoder:
    """Stands for ComfyUI's CLIP; remembers what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def tokenize(self, text: str) -> str:
        self.texts.append(text)
        return text

    def encode_from_tokens(self, tokens: str) -> torch.Tensor:
        return torch.ones(1, 77, 4)


def check_a_text_encoder_fills_a_gap_only(folder: Path) -> None:
    clip = TextEncoder()
    assert loaded(folder, clip=clip).checkpoint.prompt_embeds.shape == (1, 3, 4)
    assert clip.texts == []
    (folder / "tiny" / "prompt_embeds.safetensors").unlink()
    original = memory.checkpoint_path
    memory.checkpoint_path = lambda name: folder / name
    try:
        model = memory.load_model("tiny", "auto", clip=clip)
    finally:
        memory.checkpoint_path = original
    assert clip.texts == ["A close up of a person."]
    assert torch.equal(model.checkpoint.prompt_embeds, torch.ones(1, 77, 4))


def check_interruption_stops_within_a_step(folder: Path) -> None:
    model = loaded(folder)
    seen: list[int] = []
    report = sampling_progress(model.checkpoint)

    def interrupt(done: int, total: int, progress: Any) -> None:
        seen.append(done)
        if done == 1:
            mm.interrupt_current_processing()
        report(done, total, progress)

    try:
        edit(model, callback=interrupt)
    except mm.InterruptProcessingException:
        assert seen == [0, 1]
    else:
        raise AssertionError("the edit went on")


def check_interruption_stops_the_search_for_faces(folder: Path) -> None:
    files.register_model_folder()
    perception = memory.perception()
    mm.interrupt_current_processing()
    try:
        perception.faces(to_tensor(torch.zeros(1, 64, 64, 3)))
    except mm.InterruptProcessingException:
        return
    raise AssertionError("the search went on")


def check_memory_for_work_grows_with_the_batch(folder: Path) -> None:
    asked: list[float] = []
    original = mm.load_models_gpu
    mm.load_models_gpu = lambda models, memory_required: asked.append(memory_required)
    try:
        model = loaded(folder)
        for batch in (1, 4):
            model.load_sampling_networks(batch)
    finally:
        mm.load_models_gpu = original
    assert asked[1] == 4 * asked[0] > 0
