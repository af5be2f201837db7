"""Random weights and inputs at the released checkpoint's size, in its layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from magicface_core.files import write_file
from magicface_core.network.ldm import layer_table, to_ldm
from magicface_core.network.streaming import write_tensors

WEIGHTS = "diffusion_pytorch_model.safetensors"
VAE_FILE, PLAIN_VAE = "stable-diffusion.safetensors", "vae-of-diffusers"
UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
    "out_channels": 4,
}
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "sample_size": 512,
    "scaling_factor": 0.18215,
}
SMALL = {"UNET": {"block_out_channels": [32, 64, 64, 64], "cross_attention_dim": 32}}
SMALL["VAE"] = {"block_out_channels": [32, 32, 32, 32]}
SIDE, SMALL_SIDE = 512, 128


def write(folder: Path, small: bool, disk: str) -> dict[str, Any]:
    """Random weights and inputs; the VAE twice, in diffusers' and in the original keys."""
    unet, vae = ({**UNET, **SMALL["UNET"]}, {**VAE, **SMALL["VAE"]}) if small else (UNET, VAE)
    with_aus = {
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 12,
    }
    networks: tuple[tuple[str, Any, dict[str, Any], dict[str, Any]], ...] = (
        ("denoising_unet", UNet2DConditionModel, {**unet, "in_channels": 8}, with_aus),
        ("ID_enc", UNet2DConditionModel, {**unet, "in_channels": 4}, {}),
        (PLAIN_VAE, AutoencoderKL, vae, {}),
    )
    for seed, (name, kind, config, unsaid) in enumerate(networks):
        with torch.device("meta"):
            network = kind.from_config({**config, **unsaid})
        tensors = dict(random_weights(network, seed, getattr(torch, disk)))
        (folder / name).mkdir()
        write_file(folder / name / "config.json", json.dumps(config))
        write_tensors(folder / name / WEIGHTS, tensors)
    original = to_ldm(tensors, layer_table(len(vae["block_out_channels"]), vae["layers_per_block"]))
    as_convolutions = {
        f"first_stage_model.{key}": t[..., None, None] if ".attn_" in key and t.ndim == 2 else t
        for key, t in original.items()
    }
    write_tensors(folder / VAE_FILE, as_convolutions)
    given = inputs(unet["cross_attention_dim"], SMALL_SIDE if small else SIDE)
    write_tensors(folder / "inputs.safetensors", given)
    return {"disk_bytes": sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())}


def random_weights(network: nn.Module, seed: int, dtype: torch.dtype) -> Iterator[tuple[str, Any]]:
    """Seeded weights under the released names that keep signals at about their size."""
    generator = torch.Generator().manual_seed(seed)
    for key, shape in ((key, value.shape) for key, value in network.state_dict().items()):
        values = torch.empty(shape).normal_(generator=generator)
        if len(shape) > 1:
            values /= math.sqrt(math.prod(shape[1:]))  # by the inputs of each output
        else:
            values *= 0.05
            values += float("norm" in key and key.endswith("weight"))
        yield key.replace("class_embedding.", "au_aug_mlp."), values.to(dtype)


def inputs(width: int, side: int) -> dict[str, Tensor]:
    """Pictures of blurred noise, starting noise, prompt and AU delta."""
    generator = torch.Generator().manual_seed(7)
    coarse = torch.rand(2, 3, 32, 32, generator=generator)
    pictures = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    delta = torch.zeros(1, 12)
    delta[0, [4, 6]] = torch.tensor([2.0, 4.0])  # AU6 and AU12
    return {
        "source": pictures[:1].clone(),
        "background": pictures[1:].clone(),
        "noise": torch.randn(1, 4, side // 8, side // 8, generator=generator),
        "prompt": torch.randn(1, 77, width, generator=generator),
        "delta": delta,
    }
