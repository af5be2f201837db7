"""The networks that are trained, as one module, and which of their parameters stay as they are."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from magicface_core.network.attribute_controller import ConvolutionController
from magicface_core.network.denoiser_inputs import add_identity
from magicface_core.network.identity_paths import IDENTITY_PATHS, IdentityEncoder, IdentityKind
from magicface_core.network.image_encoder import ImageEncoder


class Networks(nn.Module):
    """Denoiser, ID encoder and Attribute Controller as one module: one pass trains them all.

    ``identity`` says how the identity image is seen (see ``network/identity_paths.py``); a frozen
    denoiser leaves the ControlNet to be trained. ``identity_skip`` is the factor of the identity's
    latents in the output (see ``network/identity_skip.py``), 0 leaves them out.
    """

    def __init__(
        self,
        denoiser: UNet2DConditionModel,
        id_encoder: IdentityEncoder,
        controller: ConvolutionController | None,
        identity: IdentityKind = "reference-attention",
        freeze_denoiser: bool = False,
        identity_skip: float = 0.0,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.id_encoder = id_encoder
        self.controller = controller
        self.identity_path = IDENTITY_PATHS[identity]
        self.identity_skip = identity_skip
        self.requires_grad_(True)
        for parameter in untrained_parameters(id_encoder):
            parameter.requires_grad_(False)
        if freeze_denoiser:
            self.denoiser.requires_grad_(False)
            self.denoiser.controlnet.requires_grad_(True)

    @property
    def reads_pictures(self) -> bool:
        """Whether ``identity`` is the picture in -1..1, as an image encoder needs it."""
        return self.identity_path.reads_pictures

    def forward(
        self,
        noisy: Tensor,
        condition: Tensor,
        identity: Tensor,
        delta: Tensor,
        timestep: Tensor,
        prompt: Tensor,
    ) -> Tensor:
        """Prediction [R*K,C,h,w] for noisy latents of that shape.

        Identity latents are [R,C,h,w], or with an image encoder pictures (-1..1); deltas [R*K,12].
        ``condition`` is the background picture's latents, or the picture itself (-1..1) with a
        convolutional Attribute Controller.
        """
        path = self.identity_path
        reference = path.project(self.denoiser, path.features(self.id_encoder, identity, prompt))
        if self.controller is not None:
            condition = self.controller(condition)
        prediction: Tensor = self.denoiser(
            torch.cat([noisy, condition], dim=1),
            timestep,
            encoder_hidden_states=prompt.expand(len(noisy), -1, -1),
            class_labels=delta,
            cross_attention_kwargs={"reference": reference},
        ).sample
        if self.identity_skip:
            return add_identity(prediction, identity, self.identity_skip)
        return prediction


def untrained_parameters(id_encoder: IdentityEncoder) -> list[nn.Parameter]:
    """Parameters of the ID encoder that stay as they are."""
    if isinstance(id_encoder, ImageEncoder):
        return list(id_encoder.vision.parameters())
    return dead_parameters(id_encoder) if isinstance(id_encoder, UNet2DConditionModel) else []


def dead_parameters(id_encoder: UNet2DConditionModel) -> list[nn.Parameter]:
    """Parameters of the ID encoder that no reference feature depends on: they get no gradient.

    Features are the inputs of the transformer blocks; whatever follows the last of them is never
    used. In the released shape these are 26 tensors. Left trainable they stall
    DistributedDataParallel.
    """
    blocks = list(id_encoder.up_blocks)
    last = max(i for i, b in enumerate(blocks) if hasattr(b, "attentions"))
    transformer = blocks[last].attentions[-1]
    unused: list[nn.Module] = [transformer.transformer_blocks[-1], transformer.proj_out]
    unused += list(blocks[last].upsamplers or ())
    unused += [*blocks[last + 1 :], id_encoder.conv_norm_out, id_encoder.conv_out]
    return [p for module in unused for p in module.parameters()]
