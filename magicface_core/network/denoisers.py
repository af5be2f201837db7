"""The denoiser of a checkpoint, for every way of its identity and AUs.

All are called as the paper's is: (noisy latents and background + pose condition [B,C+C',h,w],
timestep, prompt, deltas as ``class_labels``, the identity as ``reference``). The paper's own is
stock diffusers (see ``unet.py``); the others, which repeat its ablations, distribute the same
inputs differently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import ControlNetModel, UNet2DConditionModel
from torch import Tensor, nn

from .action_unit_inputs import CLASS_EMBEDDINGS, MAP_CHANNELS, ActionUnitKind, action_unit_input
from .denoiser_inputs import DenoiserInputs, IdentityInput
from .identity_paths import IDENTITY_PATHS, IdentityKind, IdentityPath
from .reference_attention import install_processors
from .unet import AU_COUNT, build_unet

CONTROL_CHANNELS = "control_channels"
CONTROL_WIDTH = 64  # of the ControlNet's condition between its two convolutions
SHARED_WITH_CONTROLNET = ("conv_in", "time_embedding", "down_blocks", "mid_block")


class ConditionedUNet(UNet2DConditionModel):
    """A UNet that takes AUs and identity by ``au_input`` and ``identity_path``."""

    identity_path: IdentityPath
    au_input: nn.Module

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | int,
        encoder_hidden_states: Tensor,
        class_labels: Tensor,
        cross_attention_kwargs: Mapping[str, IdentityInput],
    ) -> Any:
        channels = self.config.out_channels
        given = DenoiserInputs(
            sample[:, :channels], (sample[:, channels:],), encoder_hidden_states, class_labels
        )
        given = self.au_input(given)
        given = self.identity_path.join(given, cross_attention_kwargs["reference"])
        return self.denoise(given, timestep)

    def denoise(self, given: DenoiserInputs, timestep: Tensor | int) -> Any:
        """The UNet's own pass."""
        return super().forward(
            torch.cat([given.noisy, *given.maps], dim=1),
            timestep,
            given.tokens,
            class_labels=given.labels,
            cross_attention_kwargs={"reference": given.reference},
        )


class ControlledUNet(ConditionedUNet):
    """A plain UNet on noisy latents; maps and labels go to its ControlNet."""

    controlnet: ControlNetModel

    def denoise(self, given: DenoiserInputs, timestep: Tensor | int) -> Any:
        """The ControlNet's pass, whose results are added to the UNet's skip connections."""
        down, middle = self.controlnet(
            given.noisy,
            timestep,
            given.tokens,
            torch.cat(given.maps, dim=1),
            class_labels=given.labels,
            return_dict=False,
        )
        return UNet2DConditionModel.forward(
            self,
            given.noisy,
            timestep,
            given.tokens,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        )


def build_denoiser(
    config: Mapping[str, Any],
    identity: IdentityKind = "reference-attention",
    action_units: ActionUnitKind = "linear",
    locality: Sequence[float] = (),
) -> UNet2DConditionModel:
    """A denoiser of ``config`` (``config.json``) with random weights.

    ``in_channels`` are those of ``input_channels``; a ControlNet's condition has
    ``control_channels``.
    """
    if (identity, action_units) == ("reference-attention", "linear"):
        return build_unet(config, AU_COUNT, locality)
    settings = {k: v for k, v in config.items() if not k.startswith("_") and k != CONTROL_CHANNELS}
    controlled = identity == "controlnet"
    embedding = CLASS_EMBEDDINGS[action_units]
    settings["class_embed_type"] = None if controlled else embedding
    settings["projection_class_embeddings_input_dim"] = AU_COUNT
    unet = (ControlledUNet if controlled else ConditionedUNet).from_config(settings)
    install_processors(unet, locality)
    unet.identity_path = IDENTITY_PATHS[identity]
    unet.au_input = action_unit_input(action_units, unet)
    if controlled:
        unet.register_to_config(**{CONTROL_CHANNELS: config[CONTROL_CHANNELS]})
        unet.controlnet = _build_controlnet(unet, config[CONTROL_CHANNELS], embedding)
    return unet


def _build_controlnet(
    unet: UNet2DConditionModel, channels: int, embedding: str | None
) -> ControlNetModel:
    """A ControlNet of the UNet's shape that reads ``channels`` maps of the latents' size."""
    controlnet = ControlNetModel.from_unet(
        unet,
        conditioning_embedding_out_channels=(CONTROL_WIDTH,),
        load_weights_from_unet=False,
        conditioning_channels=channels,
    )
    # diffusers' own ControlNet has no single linear layer for the labels.
    if embedding == "simple_projection":
        width = controlnet.time_embedding.linear_2.out_features
        controlnet.class_embedding = nn.Linear(AU_COUNT, width)
    elif embedding == "identity":
        controlnet.class_embedding = nn.Identity()
    return controlnet


def input_channels(
    identity: IdentityKind, action_units: ActionUnitKind, latent: int, condition: int
) -> dict[str, int]:
    """Channel settings of a denoiser's ``config.json``.

    ``latent`` and ``condition`` are channels of the latents and of the background + pose condition.
    """
    maps = condition + (MAP_CHANNELS if action_units == "convolution" else 0)
    if identity == "controlnet":
        return {"in_channels": latent, CONTROL_CHANNELS: maps + latent}
    joined = latent if identity == "convolution" else 0
    return {"in_channels": latent + maps + joined}


@torch.no_grad()
def start_controlnet(unet: ControlledUNet) -> None:
    """Start the ControlNet as a copy of the UNet's encoder, as ControlNets do.

    Its results start at zero, so the whole starts as the UNet alone.
    """
    for name in SHARED_WITH_CONTROLNET:
        getattr(unet.controlnet, name).load_state_dict(getattr(unet, name).state_dict())
