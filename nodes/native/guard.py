"""What the native MODEL takes of ComfyUI beyond its node API, and whether it is still there.

None of these names is promised to stay. With a version of ``TESTED`` they are known to work; with
any other a tiny network is run both ways first, and where the results differ the native nodes say
so. All other nodes go on, since nothing here is imported before a native node runs.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

import torch
from comfyui_version import __version__

from ...magicface_core.errors import MagicFaceError

if TYPE_CHECKING:
    from ...magicface_core.network import Checkpoint

TESTED = ("0.33.0",)
INTERNALS: dict[str, tuple[str, ...]] = {
    "comfy.ldm.modules.diffusionmodules.openaimodel": ("UNetModel",),
    "comfy.ldm.modules.attention": ("SpatialTransformer", "BasicTransformerBlock"),
    "comfy.model_base": ("BaseModel", "ModelType"),
    "comfy.supported_models": ("SD15",),
    "comfy.model_sampling": ("ModelSamplingDiscrete", "EPS", "V_PREDICTION", "X0"),
    "comfy.latent_formats": ("LatentFormat", "SD15"),
    "comfy.controlnet": ("ControlBase",),
    "comfy.conds": ("CONDList", "CONDRegular", "CONDNoiseShape"),
    "comfy.model_patcher": ("ModelPatcher", "CoreModelPatcher"),
    "comfy.patcher_extension": ("CallbacksMP",),
    "comfy.model_management": ("archive_model_dtypes", "unet_manual_cast", "load_models_gpu"),
    "comfy.utils": ("unet_to_diffusers", "repeat_to_batch_size", "common_upscale"),
}
"""Modules and the names used of them.

Used of their objects: UNetModel's input_blocks, middle_block, output_blocks, label_emb and
_forward; a transformer block's norm1 and attn1, and what it passes to attn1_patch and
patches_replace["attn1"]; transformer_index in transformer_options; BaseModel's concat_cond,
encode_adm, extra_conds, state_dict_for_saving and current_patcher; a patcher's patches and
add_callback; ControlBase's pre_run, get_control and previous_controlnet; LatentFormat's
scale_factor, latent_channels and latent_rgb_factors.
"""
TOLERANCE = 1e-4
INSTEAD = (
    f"Native MagicFace is tested with ComfyUI {', '.join(TESTED)}, this is {__version__}. Load "
    "MagicFace Model and MagicFace Sampler do the same edit and work."
)


def require_native() -> None:
    """Raise MagicFaceError, with what to do, unless this ComfyUI runs native models rightly."""
    lacking = missing_names()
    if lacking:
        raise MagicFaceError(f"This ComfyUI lacks {', '.join(lacking)}. {INSTEAD}")
    if __version__ not in TESTED:
        try:
            difference = self_check()
        except Exception as error:
            raise MagicFaceError(f"A trial of the network failed: {error}. {INSTEAD}") from error
        if not difference <= TOLERANCE:
            raise MagicFaceError(
                f"A trial of the network was off by {difference:.2g}, {TOLERANCE:.2g} is allowed. "
                f"{INSTEAD}"
            )
        logging.getLogger(__name__).info(
            "Native MagicFace was not tested with ComfyUI %s; a trial of the network is right.",
            __version__,
        )


def missing_names() -> list[str]:
    """Names of ``INTERNALS`` that are not there."""
    lacking = []
    for module, names in INTERNALS.items():
        try:
            found = importlib.import_module(module)
        except ImportError:
            lacking.append(module)
            continue
        lacking += [f"{module}.{name}" for name in names if not hasattr(found, name)]
    return lacking


def self_check() -> float:
    """Largest difference between a tiny random denoiser in ComfyUI's UNet and in diffusers'."""
    from ...magicface_core.network.reference_attention import project_reference
    from .model import MagicFaceNative, native_model

    checkpoint = tiny_checkpoint()
    model = native_model(checkpoint, checkpoint.denoiser.state_dict()).model
    assert isinstance(model, MagicFaceNative)
    noise = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 8, 8, 8, generator=noise)
    delta, prompt = torch.randn(2, 12, generator=noise), torch.randn(2, 3, 4, generator=noise)
    features = [torch.randn(2, 64, 8, generator=noise), *[torch.randn(2, 16, 16, generator=noise)]]
    features += [torch.randn(2, 64, 8, generator=noise) for _ in range(2)]
    step = torch.tensor([500.0, 500.0])
    with torch.no_grad():
        expected = checkpoint.denoiser(
            latents,
            step,
            encoder_hidden_states=prompt,
            class_labels=delta,
            cross_attention_kwargs={"reference": project_reference(checkpoint.denoiser, features)},
        ).sample
        found = model.diffusion_model(latents, step, prompt, delta, reference=features)
    return float((found - expected).abs().max())


def tiny_checkpoint() -> Checkpoint:
    """A random checkpoint of a few thousand numbers, on the CPU, without files."""
    from ...magicface_core.network import Checkpoint, CheckpointInfo
    from ...magicface_core.network.autoencoder import PatchAutoencoder
    from ...magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER
    from ...magicface_core.network.tiny import TINY_UNET
    from ...magicface_core.network.unet import AU_COUNT, build_unet

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        denoiser = build_unet({**TINY_UNET, "in_channels": 8, "out_channels": 4}, AU_COUNT)
        encoder = build_unet({**TINY_UNET, "in_channels": 4, "out_channels": 4}, None)
    return Checkpoint(
        denoiser=denoiser.eval().requires_grad_(False),
        id_encoder=encoder.eval().requires_grad_(False),
        vae=PatchAutoencoder(patch_size=8, latent_channels=4, width=8, blocks=1, pixel_width=4),
        controller=None,
        prompt_embeds=torch.zeros(1, 3, 4),
        scheduler_config=STABLE_DIFFUSION_SCHEDULER,
        info=CheckpointInfo(resolution=64),
    )
