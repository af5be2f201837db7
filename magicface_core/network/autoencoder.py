"""Autoencoders between pictures and latents.

Stable Diffusion's ``AutoencoderKL`` for released checkpoints, a patch autoencoder for small ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

import torch
from diffusers import AutoencoderKL
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn
from torch.nn import functional as F

from .painter import Painter
from .warping import fetched

T = TypeVar("T")


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions around SiLU, added to the input; the second starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        _start_at_zero(self.second)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(F.silu(self.first(F.silu(x))))
        return out


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """One linear map from patches to latents; its inverse and a convolutional refinement back.

    Encoding is a 1x1 convolution over unshuffled pixels, which starts as the principal components
    of image patches (see ``fit_patches``), so that latents keep their place and the round trip is
    good from the start; the decoder learns what the dropped components usually are and removes
    patch borders. ``width`` 0 leaves out the refinement.

    With ``motion`` m > 0 the last 2 m^2 channels of the latents are displacements, m x m vectors
    (x, y) a patch in units of ``motion_scale`` patches: each pixel of the picture is fetched from
    where its vector points. Encoding leaves them at 0. An editor that moves skin instead of
    painting it anew keeps it sharp.

    ``painter_settings`` make a `Painter`, which brings to edits of whole pictures what
    movement cannot: teeth, a dark mouth, the white of an eye. None is none.

    Pictures are [B,3,H,W] in -1..1 with H and W multiples of ``patch_size``; latents
    [B,latent_channels,H/p,W/p]. Same interface as ``AutoencoderKL``, with a posterior of zero
    variance.
    """

    @register_to_config
    def __init__(
        self,
        patch_size: int = 8,
        latent_channels: int = 64,
        width: int = 128,
        blocks: int = 2,
        pixel_width: int = 16,
        scaling_factor: float = 1.0,
        motion: int = 0,
        motion_scale: float = 0.5,
        painter_settings: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        pixels = 3 * patch_size**2
        self.content_channels = latent_channels - 2 * motion**2
        self.to_latents = nn.Conv2d(pixels, self.content_channels, 1)
        self.to_pixels = nn.Conv2d(self.content_channels, pixels, 1)
        self.painter = None if painter_settings is None else Painter(**painter_settings)
        self.refine: nn.Sequential | None = None
        self.deblock: nn.Sequential | None = None
        if width:
            self.refine = nn.Sequential(
                nn.Conv2d(self.content_channels, width, 3, padding=1),
                *[ResidualBlock(width) for _ in range(blocks)],
                _start_at_zero(nn.Conv2d(width, pixels, 3, padding=1)),
            )
            self.deblock = nn.Sequential(
                nn.Conv2d(3, pixel_width, 3, padding=1),
                nn.SiLU(),
                _start_at_zero(nn.Conv2d(pixel_width, 3, 3, padding=1)),
            )

    def encode(self, x: Tensor) -> AutoencoderKLOutput:
        """Latents of ``x`` as ``.latent_dist``, a posterior of zero variance."""
        content = self.to_latents(F.pixel_unshuffle(x, self.config.patch_size))
        still = content.new_zeros(len(x), 2 * self.config.motion**2, *content.shape[2:])
        mean = torch.cat([content, still], dim=1)
        return AutoencoderKLOutput(
            latent_dist=DiagonalGaussianDistribution(
                torch.cat([mean, torch.full_like(mean, -30.0)], dim=1), deterministic=True
            )
        )

    def decode(self, z: Tensor) -> DecoderOutput:
        """Picture of latents ``z``."""
        return DecoderOutput(sample=self._move(self._paint(z), z))

    def carry(self, picture: Tensor, z: Tensor, unedited: Tensor) -> Tensor:
        """``picture`` with the change from latents ``unedited`` to ``z``, its detail moved along.

        picture [B,3,S,S] in -1..1 is what ``unedited`` [B,C,h,w] encodes, at any resolution: only
        the difference of the two renderings is added before everything is moved, so that what the
        latents cannot hold is kept. Exactly ``picture`` for ``z`` = ``unedited``.
        """
        change = self.change(z, unedited)
        if self.painter is not None:
            painted: Tensor = self.painter(picture, change, self.vectors(z))
            return painted
        if change.shape[-2:] != picture.shape[-2:]:
            change = F.interpolate(change, picture.shape[-2:], mode="bicubic", align_corners=False)
        return self._move(picture + change, z)

    def change(self, z: Tensor, unedited: Tensor) -> Tensor:
        """What latents ``z`` add to the colours of those of ``unedited``, before anything moves."""
        return self._paint(z) - self._paint(unedited)

    def _paint(self, z: Tensor) -> Tensor:
        """The picture before anything is moved."""
        content = z[:, : self.content_channels]
        patches = self.to_pixels(content)
        if self.refine is not None:
            patches = patches + self.refine(content)
        picture: Tensor = F.pixel_shuffle(patches, self.config.patch_size)
        return picture if self.deblock is None else picture + self.deblock(picture)

    def vectors(self, z: Tensor) -> Tensor:
        """Displacements [B,2,m h,m w] (x, y) in half sides of the picture, for ``fetched``."""
        units = F.pixel_shuffle(z[:, self.content_channels :], self.config.motion)
        return units * (2 * self.config.motion_scale / z.shape[-1])

    def _move(self, picture: Tensor, z: Tensor) -> Tensor:
        """Each pixel of ``picture`` fetched from where the latents' vectors point."""
        return fetched(picture, self.vectors(z)) if self.config.motion else picture

    @torch.no_grad()
    def fit_patches(self, pictures: Tensor, flatten: float = 0.5) -> None:
        """Set both linear maps from the principal components of patches.

        ``pictures`` are [B,3,H,W] in -1..1. Component i is divided by its standard deviation to the
        power ``flatten``: 0 keeps the pixels' metric, 1 whitens; 0.5 keeps coarse components
        heavier without drowning the fine ones. The latents' overall standard deviation becomes 1.
        """
        patches = (
            F.pixel_unshuffle(pictures, self.config.patch_size).permute(0, 2, 3, 1).flatten(0, 2)
        )
        mean = patches.mean(0)
        centred = (patches - mean).double()
        variances, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
        count = self.content_channels
        deviations = variances.flip(0)[:count].clamp_min(1e-10).sqrt()
        basis = directions.flip(1)[:, :count]
        scale = deviations.pow(flatten)
        scale = scale * (deviations / scale).square().mean().sqrt()
        encode = (basis / scale).T.float()
        _set_linear(self.to_latents, encode, -(encode @ mean))
        _set_linear(self.to_pixels, (basis * scale).float(), mean)


def _start_at_zero(layer: nn.Conv2d) -> nn.Conv2d:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def _set_linear(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    """Set a 1x1 convolution; weight [out, in], bias [out]."""
    for parameter, value in zip(layer.parameters(), (weight[:, :, None, None], bias), strict=True):
        parameter.copy_(value)


_OLD_ATTENTION_NAMES = {
    "query": "to_q",
    "key": "to_k",
    "value": "to_v",
    "proj_attn": "to_out.0",
}


def to_current_keys(tensors: Mapping[str, T]) -> dict[str, T]:
    """Keys of an ``AutoencoderKL`` file under diffusers' present names.

    Stable Diffusion 1.5's own files still call the middle block's attention layers ``query``,
    ``key``, ``value`` and ``proj_attn``. Other keys stay.
    """
    return {_current(key): value for key, value in tensors.items()}


def _current(key: str) -> str:
    stem, _, rest = key.partition(".attentions.0.")
    name, _, kind = rest.rpartition(".")
    return f"{stem}.attentions.0.{_OLD_ATTENTION_NAMES.get(name, name)}.{kind}" if rest else key


Autoencoder: TypeAlias = AutoencoderKL | PatchAutoencoder


class PictureCodec(Protocol):
    """What MagicFace asks of an autoencoder; ComfyUI's, for one, is made to fit from outside."""

    @property
    def latent_channels(self) -> int:
        """Channels C of the latents."""

    @property
    def reduction(self) -> int:
        """Pixels per latent along one side."""

    @property
    def scaling_factor(self) -> float:
        """What the sampler's latents are multiplied by."""

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Posterior mode [B,C,h,w], NOT scaled, of pictures [B,3,H,W] in 0..1."""

    def decode_pictures(self, latents: Tensor) -> Tensor:
        """Pictures [B,3,H,W] float32 in 0..1 of latents [B,C,h,w] that are NOT scaled."""


@dataclass(frozen=True)
class NetworkCodec:
    """A `PictureCodec` of this package's autoencoders.

    device and dtype are what it computes with; None is where, and what, its weights are.
    """

    vae: Autoencoder
    device: torch.device | None = None
    dtype: torch.dtype | None = None

    @property
    def latent_channels(self) -> int:
        """Channels C of the latents."""
        return int(self.vae.config.latent_channels)

    @property
    def reduction(self) -> int:
        """Pixels per latent along one side."""
        if isinstance(self.vae, PatchAutoencoder):
            return int(self.vae.config.patch_size)
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))

    @property
    def scaling_factor(self) -> float:
        """What the sampler's latents are multiplied by."""
        return float(self.vae.config.scaling_factor)

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        """Posterior mode [B,C,h,w], NOT scaled, of pictures [B,3,H,W] in 0..1."""
        mode: Tensor = self.vae.encode(self.placed(pictures) * 2 - 1).latent_dist.mode()
        return mode

    def decode_pictures(self, latents: Tensor) -> Tensor:
        """Pictures [B,3,H,W] float32 in 0..1 of latents [B,C,h,w] that are NOT scaled."""
        sample: Tensor = self.vae.decode(self.placed(latents)).sample
        return (sample.float() / 2 + 0.5).clamp(0, 1)

    @property
    def computes_in(self) -> torch.dtype:
        """Floating type of the computation."""
        return self.dtype or next(self.vae.parameters()).dtype

    def placed(self, tensor: Tensor) -> Tensor:
        """A tensor where, and in what, the autoencoder computes."""
        return tensor.to(self.device or next(self.vae.parameters()).device, self.computes_in)


def codec_of(
    vae: Autoencoder | PictureCodec,
    device: torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> PictureCodec:
    """An autoencoder as a codec; one that is a codec already comes back as it is."""
    if isinstance(vae, AutoencoderKL | PatchAutoencoder):
        return NetworkCodec(vae, device, dtype)
    return vae


def encode_mode(vae: Autoencoder | PictureCodec, picture: Tensor) -> Tensor:
    """Posterior mode of a picture [B,3,H,W] in 0..1, as released: without the scaling factor."""
    return codec_of(vae).encode_pictures(picture)


def decode_latents(vae: Autoencoder | PictureCodec, latents: Tensor) -> Tensor:
    """Picture [B,3,H,W] in 0..1 of latents in the sampler's (scaled) space."""
    codec = codec_of(vae)
    return codec.decode_pictures(latents / codec.scaling_factor)


def reduction_factor(vae: Autoencoder | PictureCodec) -> int:
    """Pixels per latent along one side."""
    return codec_of(vae).reduction
