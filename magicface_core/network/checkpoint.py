"""Checkpoint folders: the released layout, plus what a self-contained checkpoint adds.

``denoising_unet/`` and ``ID_enc/`` as released (``config.json`` + safetensors, keys as they are),
``vae/``, ``scheduler_config.json``, ``prompt_embeds.safetensors`` and ``magicface.json``. The
released folder has only the first two: the autoencoder then comes from ``vae`` or ``codec``, the
prompt's embedding from ``prompt_embeds``, or either from the model folder (``finding.py``).
``single_files.py`` reads networks that are one file each, ``merged.py`` keeps all in one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from ..errors import CheckpointError
from .attribute_controller import ConvolutionController
from .autoencoder import Autoencoder, NetworkCodec, PictureCodec, codec_of
from .denoiser_inputs import check_identity_skip
from .denoisers import input_channels
from .finding import DOWNLOAD, resolve_checkpoint, stored_autoencoder, stored_prompt
from .identity_paths import IDENTITY_PATHS, IdentityEncoder, IdentityPath
from .info import CheckpointInfo
from .merged import open_parts
from .parts import PROMPT, PROMPT_KEY, REQUIRED_PARTS, CheckpointParts, FolderPart, Part
from .planning import plan_autoencoder, plan_controller, plan_denoiser, plan_id_encoder
from .single_files import autoencoder_part

__all__ = ["Checkpoint", "load_autoencoder", "load_checkpoint", "resolve_checkpoint"]

STABLE_DIFFUSION_CHANNELS = 4
STABLE_DIFFUSION_SCHEDULER: dict[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "epsilon",
}


@dataclass
class Checkpoint:
    """All networks of MagicFace, ready for inference.

    Inputs are placed on ``device`` in ``dtype``. Those are the denoiser's own, unless weights lie
    elsewhere or in another type than the computation, as under a memory manager that brings them
    layer by layer: compute_device, compute_dtype and compute_vae_dtype (for the autoencoder, by
    default like the others) then say so. fingerprint tells checkpoints apart (``fingerprints.py``);
    networks that were not read from files have none.
    """

    denoiser: UNet2DConditionModel
    id_encoder: IdentityEncoder  # a UNet, unless ``info.identity`` says otherwise
    vae: Autoencoder | PictureCodec
    controller: ConvolutionController | None  # None: the released concatenation of VAE latents
    prompt_embeds: Tensor  # [1, tokens, cross_attention_dim]
    scheduler_config: dict[str, Any]
    info: CheckpointInfo
    compute_device: torch.device | None = None
    compute_dtype: torch.dtype | None = None
    compute_vae_dtype: torch.dtype | None = None
    fingerprint: str = ""

    @property
    def device(self) -> torch.device:
        """Device of the computation."""
        return self.compute_device or self.denoiser.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the computation."""
        return self.compute_dtype or self.denoiser.dtype

    @property
    def vae_dtype(self) -> torch.dtype:
        """Floating type in which the checkpoint's own autoencoder computes."""
        codec = self.codec
        return codec.computes_in if isinstance(codec, NetworkCodec) else self.dtype

    @property
    def codec(self) -> PictureCodec:
        """The autoencoder, computing where and as this checkpoint says."""
        return codec_of(self.vae, self.compute_device, self.compute_vae_dtype or self.compute_dtype)

    @property
    def identity_path(self) -> IdentityPath:
        """How identity images are seen."""
        return IDENTITY_PATHS[self.info.identity]

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.denoiser.config.out_channels)

    @property
    def latent_size(self) -> int:
        """Latents along one side at the checkpoint's resolution."""
        return self.info.resolution // self.codec.reduction

    def prompt(self, rows: int = 1) -> Tensor:
        """The prompt's embedding [rows, tokens, cross_attention_dim], placed for computing."""
        return self.prompt_embeds.to(self.device, self.dtype).expand(rows, -1, -1)


def load_checkpoint(
    name_or_path: str | Path,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    prompt_embeds: Tensor | None = None,
    vae: Path | None = None,
    codec: PictureCodec | None = None,
    vae_dtype: torch.dtype | None = None,
    denoiser_elsewhere: bool = False,
) -> Checkpoint:
    """Load a checkpoint: a folder, a file, or by name ("mini", "official").

    Configurations, keys and shapes of all networks are checked before any weight is read. Weights
    are read and converted one by one: beside the result, memory holds the largest of them.

    Args:
        name_or_path: see ``resolve_checkpoint``; a folder in the layout above or in that of
            ``single_files.py``, or a file of ``merged.py``.
        device: default CUDA, then MPS, then CPU.
        dtype: float32, float16 or bfloat16; default float32 on CPU, float16 elsewhere.
        prompt_embeds: [1, tokens, C] for checkpoints without their own.
        vae: Stable Diffusion 1.5's VAE for checkpoints without their own: a diffusers folder, or a
            .safetensors file of the VAE alone or of a whole checkpoint.
        codec: an autoencoder from outside, used in place of the checkpoint's own.
        vae_dtype: floating type of the checkpoint's autoencoder; default ``dtype``.
        denoiser_elsewhere: the denoiser is only checked, not read, and stays without storage: for
            callers whose own implementation runs its weights.

    Raises:
        CheckpointError: something is missing or does not fit; names what and the fix.
    """
    parts = open_parts(resolve_checkpoint(name_or_path))
    device = default_device() if device is None else torch.device(device)
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else torch.float16
    info = parts.info()
    scheduler = _scheduler_config(parts)
    check_identity_skip(info.identity_skip, info.identity, scheduler)
    denoiser = plan_denoiser(parts.part("denoising_unet"), info)
    id_encoder = plan_id_encoder(parts.part("ID_enc"), info)
    controller = plan_controller(parts, info)
    autoencoder = None if codec is not None else plan_autoencoder(_vae_part(parts, vae))
    checkpoint = Checkpoint(
        denoiser=denoiser.network,
        id_encoder=id_encoder.network,
        vae=autoencoder.network if codec is None and autoencoder is not None else codec,
        controller=None if controller is None else controller.network,
        prompt_embeds=_prompt(parts, prompt_embeds, denoiser.network),
        scheduler_config=scheduler,
        info=info,
        compute_vae_dtype=vae_dtype,
        fingerprint=_fingerprint(parts),
    )
    _check_channels(checkpoint, parts.place, connected=codec is not None)
    for planned in (None if denoiser_elsewhere else denoiser, id_encoder, controller):
        if planned is not None:
            planned.fill(dtype, device)
    if autoencoder is not None:
        autoencoder.fill(vae_dtype or dtype, device)
    checkpoint.prompt_embeds = checkpoint.prompt_embeds.to(device, dtype)
    return checkpoint


def default_device() -> torch.device:
    """CUDA where present, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_autoencoder(folder: Path, dtype: torch.dtype, device: torch.device) -> Autoencoder:
    """``AutoencoderKL`` or ``PatchAutoencoder``, whichever the folder's config names."""
    planned = plan_autoencoder(FolderPart(folder))
    planned.fill(dtype, device)
    return planned.network


def _vae_part(parts: CheckpointParts, given: Path | None) -> Part:
    if given is not None:
        return autoencoder_part(Path(given).expanduser())
    if parts.has("vae"):
        return parts.part("vae")
    stored = stored_autoencoder()
    if stored is None:
        raise CheckpointError(
            f"{parts.place} has no vae/: connect a Stable Diffusion 1.5 VAE, copy the vae folder "
            f"of a Stable Diffusion 1.5 checkpoint there, or run: {DOWNLOAD} sd15-vae"
        )
    return stored


def _prompt(parts: CheckpointParts, given: Tensor | None, denoiser: UNet2DConditionModel) -> Tensor:
    width = int(denoiser.config.cross_attention_dim)
    embedding = parts.prompt_embeds() if given is None else given
    if embedding is None:
        embedding = stored_prompt(width)
    if embedding is None:
        raise CheckpointError(
            f"{parts.place} lacks prompt_embeds.safetensors; connect Stable Diffusion 1.5's CLIP, "
            f"or add that file (or pass {PROMPT_KEY}): the text encoder's [1, 77, 768] output for "
            f'"{PROMPT}". To compute it once: {DOWNLOAD} sd15-text-encoder'
        )
    if embedding.ndim != 3 or embedding.shape[0] != 1 or embedding.shape[2] != width:
        raise CheckpointError(
            f"prompt_embeds has shape {list(embedding.shape)}, expected [1, tokens, {width}]"
        )
    return embedding


def _fingerprint(parts: CheckpointParts) -> str:
    """The ID encoder's; where that has no weights, the denoiser's."""
    own = (parts.part(name) for name in reversed(REQUIRED_PARTS))
    return next((part.fingerprint() for part in own if part.entries()), "")


def _scheduler_config(parts: CheckpointParts) -> dict[str, Any]:
    found = parts.scheduler_config()
    if found is None:
        return dict(STABLE_DIFFUSION_SCHEDULER)
    return {k: v for k, v in found.items() if not k.startswith("_")}


def _check_channels(checkpoint: Checkpoint, place: Path, connected: bool) -> None:
    """Raise where autoencoder, controller and UNets do not fit together."""
    latent, controller = checkpoint.codec.latent_channels, checkpoint.controller
    needed = checkpoint.latent_channels
    if connected and latent != needed:
        raise CheckpointError(
            f"{place} works on latents of {needed} channels, but the connected VAE has {latent}: "
            + (
                "connect a Stable Diffusion 1.5 VAE"
                if needed == STABLE_DIFFUSION_CHANNELS
                else "disconnect it, the checkpoint needs its own"
            )
        )
    condition = latent if controller is None else controller.channels
    info, denoiser, encoder = checkpoint.info, checkpoint.denoiser, checkpoint.id_encoder
    wanted = input_channels(info.identity, info.action_units, latent, condition)
    found: dict[str, tuple[Any, int]] = {
        f"denoising_unet {name}": (denoiser.config.get(name), count)
        for name, count in wanted.items()
    }
    found["denoising_unet out_channels"] = (needed, latent)
    if "in_channels" in encoder.config:
        found["ID_enc in_channels"] = (encoder.config["in_channels"], latent)
    for name, (value, expected) in found.items():
        if value != expected:
            raise CheckpointError(
                f"{place}: {name} is {value}, but the autoencoder asks for {expected}"
            )
    reduction = checkpoint.codec.reduction
    if controller is not None and controller.reduction != reduction:
        raise CheckpointError(
            f"{place}: attribute_controller reduces pictures {controller.reduction} times, the "
            f"autoencoder {reduction} times; use the autoencoder the checkpoint was trained with"
        )
