"""A checkpoint read for ComfyUI's own samplers: MODEL, ID encoder, VAE and prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import torch

from ..memory import DTYPES, LoadedModel, managed, open_checkpoint, own_dtype, read_checkpoint

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from .conditions import Conditioning

NATIVE_DTYPES = {**DTYPES, "float8_e4m3fn": torch.float8_e4m3fn}


@dataclass(frozen=True)
class NativeModel:
    """The outputs of Load MagicFace (native)."""

    model: ModelPatcher
    id_encoder: LoadedModel
    vae: Any
    prompt: Conditioning


def load_native(name: str, dtype: str, vae: Any = None, clip: Any = None) -> NativeModel:
    """Read a listed checkpoint; dtype is "auto" or a key of NATIVE_DTYPES, for the denoiser.

    Raises CheckpointError for a checkpoint that cannot be a MODEL, MagicFaceError for a ComfyUI
    that cannot run it.
    """
    from .guard import require_native

    require_native()
    from .layout import check_info
    from .model import native_model
    from .vae import CheckpointVAE

    parts = open_checkpoint(name)
    check_info(parts.info())
    checkpoint = read_checkpoint(parts, dtype, vae, clip, denoiser_elsewhere=True)
    weight_dtype = NATIVE_DTYPES.get(dtype) or own_dtype(parts, mm.get_torch_device())
    tensors = parts.part("denoising_unet").tensors(weight_dtype, mm.unet_offload_device())
    id_encoder = managed(checkpoint, vae, denoiser_elsewhere=True)
    return NativeModel(
        native_model(checkpoint, tensors),
        id_encoder,
        CheckpointVAE(id_encoder) if vae is None else vae,
        [[checkpoint.prompt_embeds.float().to(mm.intermediate_device()), {}]],
    )
