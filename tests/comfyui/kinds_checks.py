"""Checks of checkpoints of other kinds that `test_kinds.py` runs inside ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import comfy.model_management as mm
import torch
from magicface_pack.magicface_core.attention.maps import record_render
from magicface_pack.magicface_core.aus import AUDelta
from magicface_pack.magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_pack.magicface_core.network.checkpoint import Checkpoint, load_checkpoint
from magicface_pack.magicface_core.network.identity_paths import IdentityKind
from magicface_pack.magicface_core.network.tiny import write_tiny_checkpoint
from magicface_pack.nodes import memory

FACE = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1))
OPTIONS = RenderOptions(steps=2, guidance=2.0, seed=3)
UNITS = {"convolution": "convolution", "controlnet": "zero-append"}
KINDS = get_args(IdentityKind)


def edited(encoding: Checkpoint, sampling: Checkpoint) -> torch.Tensor:
    with torch.inference_mode():
        identity = encode_identities(encoding, FACE)
        return render(sampling, identity, FACE, [AUDelta(AU12=4)], OPTIONS).latents


def managed_edit(model: memory.LoadedModel) -> torch.Tensor:
    """As the nodes do it: encode, then sample."""
    return edited(model.load_identity_networks(), model.load_sampling_networks(1))


def written(folder: Path, kind: str) -> Path:
    return write_tiny_checkpoint(
        folder / kind, identity=kind, action_units=UNITS.get(kind, "linear")
    )


def check_edits_are_those_of_the_library(folder: Path) -> None:
    for kind in KINDS:
        place = written(folder, kind)
        plain = load_checkpoint(place, "cpu", torch.float32)
        expected = edited(plain, plain)
        model = memory.managed(load_checkpoint(place, "cpu", torch.float32))
        assert torch.equal(managed_edit(model), expected), kind


def check_memory_that_is_short_changes_nothing(folder: Path) -> None:
    for kind in KINDS:
        model = memory.managed(load_checkpoint(written(folder, kind), "cpu", torch.float32))
        expected = managed_edit(model)
        for patcher in (model.denoiser, model.id_encoder):
            patcher.detach()
            patcher.partially_load(patcher.load_device, 1000)
        assert torch.equal(managed_edit(model), expected), kind
        mm.unload_all_models()
        assert torch.equal(managed_edit(model), expected), kind


def check_attention_maps_are_those_of_the_library(folder: Path) -> None:
    """Also where layers fetch their weights when they run."""
    for kind in KINDS:
        place = written(folder, kind)
        plain = load_checkpoint(place, "cpu", torch.float32)
        expected = maps_of(plain, plain)
        model = memory.managed(load_checkpoint(place, "cpu", torch.float32))
        found = maps_of(model.load_identity_networks(), model.load_sampling_networks(1))
        assert torch.equal(found, expected), kind
        model.denoiser.detach()
        model.denoiser.partially_load(model.denoiser.load_device, 1000)
        found = maps_of(model.load_identity_networks(), model.load_sampling_networks(1))
        assert torch.equal(found, expected), kind


def maps_of(encoding: Checkpoint, sampling: Checkpoint) -> torch.Tensor:
    with torch.inference_mode():
        identity = encode_identities(encoding, FACE)
        _, maps = record_render(sampling, identity, FACE, AUDelta(AU12=4), OPTIONS)
    assert maps.has_reference == (sampling.info.identity == "reference-attention")
    return torch.stack([maps.picture(kind, 16) for kind in ("self", "cross", "reference")])


def check_half_precision(folder: Path) -> None:
    """Weights of one type, computation in another."""
    for kind in KINDS:
        place = written(folder, kind)
        exact = managed_edit(memory.managed(load_checkpoint(place, "cpu", torch.float32)))
        loaded = load_checkpoint(place, "cpu", torch.bfloat16)
        loaded.compute_dtype = loaded.compute_vae_dtype = torch.float32
        found = managed_edit(memory.managed(loaded))
        assert found.isfinite().all(), kind
        assert (found - exact).abs().mean() < 0.1 * exact.abs().mean(), kind
