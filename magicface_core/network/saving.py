"""Writing a checkpoint folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from ..files import write_file
from .attribute_controller import ConvolutionController
from .autoencoder import Autoencoder
from .identity_paths import IdentityEncoder
from .info import CheckpointInfo
from .streaming import write_tensors
from .unet import to_released_keys


def save_checkpoint(
    folder: Path,
    *,
    denoiser: UNet2DConditionModel,
    id_encoder: IdentityEncoder,
    vae: Autoencoder,
    prompt_embeds: Tensor,
    scheduler_config: Mapping[str, Any],
    info: CheckpointInfo,
    controller: ConvolutionController | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a complete folder in the layout of ``checkpoint.py``, with the released key names."""
    for name, module in (("denoising_unet", denoiser), ("ID_enc", id_encoder), ("vae", vae)):
        _save_module(
            folder / name, to_released_keys(module.state_dict()), module.config, type(module), dtype
        )
    if controller is not None:
        settings = {"channels": controller.channels, "reduction": controller.reduction}
        _save_module(
            folder / "attribute_controller",
            controller.state_dict(),
            settings,
            type(controller),
            dtype,
        )
    write_tensors(folder / "prompt_embeds.safetensors", {"prompt_embeds": prompt_embeds.float()})
    schedule = json.dumps(dict(scheduler_config), indent=2)
    write_file(folder / "scheduler_config.json", schedule + "\n")
    write_file(folder / "magicface.json", info.to_json())


def _save_module(
    folder: Path,
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any],
    kind: type,
    dtype: torch.dtype,
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "_class_name": kind.__name__,
        **{k: v for k, v in config.items() if not k.startswith("_")},
    }
    write_file(folder / "config.json", json.dumps(settings, indent=2, default=list) + "\n")
    write_tensors(
        folder / "diffusion_pytorch_model.safetensors", {k: v.to(dtype) for k, v in tensors.items()}
    )
