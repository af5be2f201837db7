"""The two UNets of MagicFace on stock diffusers, and their names in the released checkpoint.

The denoising UNet is a ``UNet2DConditionModel`` with twice the latents' channels at its input
(noisy latents, background + pose condition) and the 12 AU deltas as ``class_labels`` of a
``simple_projection`` class embedding, that is, one linear layer added to the time embedding (paper,
"Linear + Time"). The ID encoder has the same shape with the latents' channels alone and no AUs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

import torch
from diffusers import UNet2DConditionModel

from .reference_attention import install_processors

RELEASED_AU_PREFIX = "au_aug_mlp."
STOCK_AU_PREFIX = "class_embedding."
AU_COUNT = 12
T = TypeVar("T")


def build_unet(
    config: Mapping[str, Any], au_inputs: int | None, locality: Sequence[float] = ()
) -> UNet2DConditionModel:
    """A UNet of ``config`` (diffusers' ``config.json``) with reference attention installed.

    ``au_inputs`` is 12 for the denoiser and None for the ID encoder.
    """
    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    if au_inputs is not None:
        settings.update(
            class_embed_type="simple_projection", projection_class_embeddings_input_dim=au_inputs
        )
    unet = UNet2DConditionModel.from_config(settings)
    install_processors(unet, locality)
    return unet


def to_stock_keys(tensors: Mapping[str, T]) -> dict[str, T]:
    """Released names -> diffusers' names (``au_aug_mlp.*`` is the class embedding)."""
    return {_swap(k, RELEASED_AU_PREFIX, STOCK_AU_PREFIX): v for k, v in tensors.items()}


def to_released_keys(tensors: Mapping[str, T]) -> dict[str, T]:
    """diffusers' names -> released names."""
    return {_swap(k, STOCK_AU_PREFIX, RELEASED_AU_PREFIX): v for k, v in tensors.items()}


def _swap(key: str, old: str, new: str) -> str:
    return new + key.removeprefix(old) if key.startswith(old) else key


@torch.no_grad()
def share_initial_weights(denoiser: UNet2DConditionModel, id_encoder: UNet2DConditionModel) -> None:
    """Start the ID encoder as a copy of the denoiser.

    As in the paper, where both start from Stable Diffusion. The encoder's ``conv_in`` takes the
    part of the denoiser's that reads the noisy latents.
    """
    source = denoiser.state_dict()
    for name, parameter in id_encoder.state_dict().items():
        weight = source[name]
        if name == "conv_in.weight":
            weight = weight[:, : parameter.shape[1]]
        parameter.copy_(weight)
