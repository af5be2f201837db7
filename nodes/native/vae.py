"""A checkpoint's own autoencoder where ComfyUI expects a VAE.

Small checkpoints bring one that is no Stable Diffusion VAE. This is what nodes call on ComfyUI's
class: VAE Encode and Decode, plain and tiled, and the figures that others ask for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import torch

from ...magicface_core.errors import ImageError
from ...magicface_core.network.autoencoder import PictureCodec
from ...magicface_core.pictures.images import channels_last, to_tensor

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ..memory import LoadedModel

AT_ONCE = 8  # pictures
BYTES_PER_PIXEL = 2_178  # ComfyUI's figure for decoding with Stable Diffusion's autoencoder


class CheckpointVAE:
    """Encodes and decodes with a checkpoint's autoencoder under ComfyUI's memory manager.

    Pictures are [B,H,W,3] in 0..1, latents [B,C,h,w] without the scaling factor.
    """

    output_channels = 3
    latent_dim = 2

    def __init__(self, model: LoadedModel) -> None:
        (self.patcher,) = model.picture_networks
        self._checkpoint = model.checkpoint
        self.first_stage_model = self.patcher.model
        self.device: torch.device = self.patcher.load_device
        self.output_device: torch.device = mm.intermediate_device()
        self.vae_dtype = model.checkpoint.vae_dtype
        self.latent_channels = self._codec.latent_channels
        self.downscale_ratio = self.upscale_ratio = self._codec.reduction

    def encode(self, pixel_samples: torch.Tensor) -> torch.Tensor:
        """Latents of pictures, whose sides are cut to whole patches around the middle."""
        pictures = self._cut(to_tensor(pixel_samples))
        self._load(pictures.shape[-2] * pictures.shape[-1])
        parts = [self._codec.encode_pictures(part) for part in pictures.split(AT_ONCE)]
        return torch.cat(parts).float().to(self.output_device)

    def decode(
        self, samples_in: torch.Tensor, vae_options: dict[str, Any] | None = None
    ) -> torch.Tensor:
        """Pictures of latents."""
        if samples_in.ndim != 4 or samples_in.shape[1] != self.latent_channels:
            raise ImageError(
                f"These latents are {list(samples_in.shape)}, this VAE decodes "
                f"[B, {self.latent_channels}, h, w]: connect the VAE of the model that made them."
            )
        self._load(samples_in.shape[-2] * samples_in.shape[-1] * self.upscale_ratio**2)
        parts = [self._codec.decode_pictures(part) for part in samples_in.split(AT_ONCE)]
        return channels_last(torch.cat(parts)).to(self.output_device)

    def encode_tiled(self, pixel_samples: torch.Tensor, **_: Any) -> torch.Tensor:
        """As ``encode``: faces are small enough for one tile."""
        return self.encode(pixel_samples)

    def decode_tiled(self, samples: torch.Tensor, **_: Any) -> torch.Tensor:
        """As ``decode``."""
        return self.decode(samples)

    def spacial_compression_encode(self) -> int:
        """Pixels per latent along one side."""
        return self.downscale_ratio

    def spacial_compression_decode(self) -> int:
        """Pixels per latent along one side."""
        return self.upscale_ratio

    def temporal_compression_decode(self) -> None:
        """No video."""

    def throw_exception_if_invalid(self) -> None:
        """It was checked when the checkpoint was read."""

    def get_sd(self) -> dict[str, torch.Tensor]:
        """Its tensors, under the names of the checkpoint's vae folder."""
        network: torch.nn.Module = self.first_stage_model.network
        return network.state_dict()

    @property
    def _codec(self) -> PictureCodec:
        return self._checkpoint.codec

    def _load(self, pixels: int) -> None:
        memory = pixels * AT_ONCE * BYTES_PER_PIXEL * self.vae_dtype.itemsize
        networks: list[ModelPatcher] = [self.patcher]
        mm.load_models_gpu(networks, memory_required=memory)

    def _cut(self, pictures: torch.Tensor) -> torch.Tensor:
        sides = pictures.shape[-2:]
        kept = [side // self.downscale_ratio * self.downscale_ratio for side in sides]
        if 0 in kept:
            raise ImageError(
                f"The picture is {sides[1]} x {sides[0]} pixels; this VAE needs "
                f"{self.downscale_ratio} or more on each side."
            )
        top, left = ((side - keep) // 2 for side, keep in zip(sides, kept, strict=True))
        return pictures[..., top : top + kept[0], left : left + kept[1]]
