"""A checkpoint in the library and as a native MODEL, and one edit for both.

Imported by checks that run inside ComfyUI's own Python, see `comfyui_checks.py`.
"""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path
from typing import Any

import comfy.sample
import comfy.samplers
import torch
from magicface_pack.magicface_core.aus import AUDelta
from magicface_pack.magicface_core.editing.rendering import encode_identities
from magicface_pack.magicface_core.network.checkpoint import Checkpoint, load_checkpoint
from magicface_pack.magicface_core.network.info import CheckpointInfo
from magicface_pack.magicface_core.network.tiny import write_tiny_checkpoint
from magicface_pack.nodes import memory
from magicface_pack.nodes.native.loading import NativeModel, load_native
from magicface_pack.nodes.native.nodes import MagicFaceConditioning
from safetensors.torch import load_file, save_file

GOLDEN = Path(__file__).parents[1] / "golden" / "network"
DELTAS = (AUDelta(AU12=4), AUDelta(AU4=-2, AU25=3))


def faces(side: int, count: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@cache
def golden() -> dict[str, torch.Tensor]:
    """What the published networks made of the golden inputs."""
    return load_file(GOLDEN / "golden.safetensors")


def released_layout(folder: Path) -> Path:
    """The golden networks as a folder: Stable Diffusion 1.5's layout at a fraction of its width."""
    place = folder.parent / "released"
    if not place.is_dir():
        shutil.copytree(GOLDEN, place)
        save_file({"prompt_embeds": golden()["prompt_embeds"]}, place / "prompt_embeds.safetensors")
        info = CheckpointInfo(name="golden", resolution=128)
        (place / "magicface.json").write_text(info.to_json(), encoding="utf-8")
    return place


def tiny_layout(folder: Path) -> Path:
    place = folder.parent / "tiny"
    return place if place.is_dir() else write_tiny_checkpoint(place)


def moving_layout(folder: Path) -> Path:
    """Latents that hold movements and are relative to the identity image's."""
    place = folder.parent / "moving"
    settings = {"identity_skip": True, "keep_detail": True, "scheduler": "ddim"}
    return place if place.is_dir() else write_tiny_checkpoint(place, motion=2, **settings)


def opened(place: Path | str, dtype: str = "float32", **parts: Any) -> NativeModel:
    """A checkpoint anywhere on disk as the node loads it."""
    original = memory.checkpoint_path
    memory.checkpoint_path = lambda name: name
    try:
        return load_native(place, dtype, **parts)
    finally:
        memory.checkpoint_path = original


@cache
def both(place: Path | str) -> tuple[Checkpoint, NativeModel]:
    """The same checkpoint in the library and in ComfyUI."""
    return load_checkpoint(place, "cpu", torch.float32), opened(place)


def places(folder: Path) -> tuple[Path | str, ...]:
    return "mini", released_layout(folder), tiny_layout(folder), moving_layout(folder)


class Conditions:
    """One edit for both paths, from pictures of noise."""

    def __init__(
        self, plain: Checkpoint, native: NativeModel, deltas: tuple[AUDelta, ...], **more: Any
    ) -> None:
        side = plain.info.resolution
        self.face, self.background = faces(side), faces(side, 2)[1:]
        self.deltas = deltas
        self.identity = encode_identities(plain, self.face)
        self.own = encode_identities(native.id_encoder.load_identity_networks(), self.face)
        self.positive, self.negative, self.latent = MagicFaceConditioning.execute(
            native.prompt,
            native.prompt,
            native.vae,
            self.own,
            self.background.movedim(1, -1),
            deltas,
            **more,
        ).args


def sampled(
    native: NativeModel, given: Conditions, sampler: str, sigmas: torch.Tensor, cfg: float
) -> torch.Tensor:
    """Latents of ComfyUI's sampler for a seed, without the scaling factor."""
    start = given.latent["samples"]
    noise = comfy.sample.prepare_noise(start, 3, given.latent["batch_index"])
    found: torch.Tensor = comfy.sample.sample_custom(
        native.model,
        noise,
        cfg,
        comfy.samplers.sampler_object(sampler),
        sigmas,
        given.positive,
        given.negative,
        start,
        noise_mask=given.latent.get("noise_mask"),
        disable_pbar=True,
        seed=3,
    )
    return found
