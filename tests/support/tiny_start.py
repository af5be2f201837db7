"""Folders that training starts from, laid out like the real ones, with tiny random networks."""

from __future__ import annotations

from pathlib import Path

import torch
from magicface_training.autoencoder import write
from safetensors.torch import save_file

from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.image_encoder import SHAPE
from magicface_core.network.tiny import TINY_IMAGE_ENCODER, TINY_UNET
from magicface_core.network.unet import build_unet


def write_stable_diffusion(folder: Path) -> Path:
    """A diffusers folder of Stable Diffusion with a prompt's embedding; returns it."""
    torch.manual_seed(0)
    unet = build_unet({**TINY_UNET, "in_channels": 4, "out_channels": 4}, None)
    (folder / "unet").mkdir(parents=True)
    unet.save_config(folder / "unet")
    save_file(unet.state_dict(), folder / "unet" / "diffusion_pytorch_model.safetensors")
    write(PatchAutoencoder(latent_channels=4, width=4, blocks=1), folder / "vae")
    prompt = torch.randn(1, 7, 4, generator=torch.Generator().manual_seed(0))
    save_file({"prompt_embeds": prompt}, folder / "prompt_embeds.safetensors")
    return folder


def write_clip(folder: Path) -> Path:
    """A transformers folder of CLIP, text half and all; returns it."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 9}
    config = CLIPConfig(
        vision_config={name: TINY_IMAGE_ENCODER[name] for name in SHAPE},
        text_config={**text, "num_attention_heads": 1},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder
