"""Four ways of the identity image into the denoiser (paper, section III-C and Table II).

Chosen by the checkpoint (``magicface.json``, key ``identity``):

* ``reference-attention``, the paper's and the release's: see ``reference_attention.py``;
* ``convolution``: the identity's latents are further channels at the denoiser's input;
* ``image-encoder``: CLIP's tokens of the picture follow the prompt's in the cross-attention;
* ``controlnet``: a ControlNet takes the identity's latents, the background + pose condition and the
  AUs, and the denoiser is plain Stable Diffusion.

In each, *features* are what can be computed once for an identity image, without AUs, timestep or
denoiser; ``project`` makes of them what the denoiser takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol, TypeAlias

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from .denoiser_inputs import DenoiserInputs, IdentityInput, for_rows
from .image_encoder import ImageEncoder
from .reference_attention import Reference, identity_features, project_reference, transformer_blocks
from .unet import build_unet

IdentityKind = Literal["reference-attention", "convolution", "image-encoder", "controlnet"]


class IdentityLatents(nn.Module):
    """In the ID encoder's place where the denoiser reads the identity's latents itself."""

    @property
    def config(self) -> dict[str, Any]:
        """Nothing."""
        return {}


IdentityEncoder: TypeAlias = UNet2DConditionModel | ImageEncoder | IdentityLatents


class IdentityPath(Protocol):
    """How one kind of checkpoint sees an identity image."""

    reads_pictures: bool
    """Whether the encoder takes pictures [R,3,H,W] in -1..1 instead of latents [R,C,h,w]."""

    def build_encoder(self, config: dict[str, Any], locality: Sequence[float]) -> IdentityEncoder:
        """The ID encoder of a ``config.json``, with random weights."""

    def features(self, encoder: Any, seen: Tensor, prompt: Tensor) -> list[Tensor]:
        """What the encoder makes of R identity images: tensors [R, ...].

        Latents are the posterior's mode without the scaling factor; the prompt is [1,N,D].
        """

    def project(self, denoiser: Any, features: Sequence[Tensor]) -> IdentityInput:
        """What the denoiser takes of the features."""

    def join(self, given: DenoiserInputs, identity: Any) -> DenoiserInputs:
        """The denoiser's inputs with what ``project`` made."""

    def fits(self, denoiser: Any, features: Sequence[Tensor]) -> bool:
        """Whether features have the shapes that the denoiser needs."""


class ReferencePath:
    """Keys and values of the ID encoder's tokens, in the denoiser's self-attention."""

    reads_pictures = False

    def build_encoder(self, config: dict[str, Any], locality: Sequence[float]) -> IdentityEncoder:
        """A UNet with the denoiser's shape."""
        return build_unet(config, None, locality)

    def features(self, encoder: UNet2DConditionModel, seen: Tensor, prompt: Tensor) -> list[Tensor]:
        """For each transformer block its tokens [R,N_i,C_i] before ``norm1``."""
        return identity_features(encoder, seen, prompt)

    def project(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> Reference:
        """Keys and values."""
        return project_reference(denoiser, features)

    def join(self, given: DenoiserInputs, identity: Reference) -> DenoiserInputs:
        """For the attention processors."""
        return replace(given, reference=identity)

    def fits(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> bool:
        """One tensor for each block, of its width."""
        blocks = transformer_blocks(denoiser)
        widths = [int(block.norm1.normalized_shape[-1]) for block in blocks]
        return [feature.shape[-1] for feature in features] == widths


class LatentPath:
    """The identity's latents as further channels: of the denoiser's input, or the ControlNet's."""

    reads_pictures = False

    def build_encoder(self, config: dict[str, Any], locality: Sequence[float]) -> IdentityEncoder:
        """Nothing to compute."""
        return IdentityLatents()

    def features(self, encoder: IdentityLatents, seen: Tensor, prompt: Tensor) -> list[Tensor]:
        """The latents [R,C,h,w]."""
        return [seen]

    def project(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> Tensor:
        """The latents."""
        return features[0]

    def join(self, given: DenoiserInputs, identity: Tensor) -> DenoiserInputs:
        """After the other maps."""
        return replace(given, maps=(*given.maps, for_rows(identity, len(given.noisy))))

    def fits(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> bool:
        """One tensor with the latents' channels."""
        return [f.shape[1] for f in features if f.ndim == 4] == [denoiser.config.out_channels]


class ImagePath:
    """CLIP's tokens, in the denoiser's cross-attention."""

    reads_pictures = True

    def build_encoder(self, config: dict[str, Any], locality: Sequence[float]) -> IdentityEncoder:
        """CLIP's image encoder and a projection."""
        return ImageEncoder.from_config(config)

    def features(self, encoder: ImageEncoder, seen: Tensor, prompt: Tensor) -> list[Tensor]:
        """The tokens [R,N,D]."""
        return [encoder(seen)]

    def project(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> Tensor:
        """The tokens."""
        return features[0]

    def join(self, given: DenoiserInputs, identity: Tensor) -> DenoiserInputs:
        """After the prompt's tokens."""
        tokens = torch.cat([given.tokens, for_rows(identity, len(given.noisy))], dim=1)
        return replace(given, tokens=tokens)

    def fits(self, denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> bool:
        """One tensor of the cross-attention's width."""
        width = denoiser.config.cross_attention_dim
        return [f.shape[-1] for f in features if f.ndim == 3] == [width]


IDENTITY_PATHS: dict[IdentityKind, IdentityPath] = {
    "reference-attention": ReferencePath(),
    "convolution": LatentPath(),
    "image-encoder": ImagePath(),
    "controlnet": LatentPath(),
}
