"""Where training starts: from scratch, from Stable Diffusion, or from a MagicFace checkpoint."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from magicface_core.network.attribute_controller import ConvolutionController
from magicface_core.network.autoencoder import Autoencoder, reduction_factor
from magicface_core.network.checkpoint import (
    STABLE_DIFFUSION_SCHEDULER,
    Checkpoint,
    load_autoencoder,
    load_checkpoint,
)
from magicface_core.network.info import CheckpointInfo
from magicface_core.network.reference_attention import (
    identity_features,
    project_reference,
)
from magicface_core.network.unet import AU_COUNT, build_unet, share_initial_weights
from magicface_core.network.weights import check_shapes, find_weights, read_config, read_tensors

from .config import ConfigError, TrainConfig

CPU = torch.device("cpu")


class Networks(nn.Module):
    """Both UNets and the Attribute Controller as one module: one forward pass trains them all."""

    def __init__(
        self,
        denoiser: UNet2DConditionModel,
        id_encoder: UNet2DConditionModel,
        controller: ConvolutionController | None,
    ) -> None:
        super().__init__()
        self.denoiser = denoiser
        self.id_encoder = id_encoder
        self.controller = controller
        for parameter in dead_parameters(id_encoder):
            parameter.requires_grad_(False)

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

        Identity latents are [R,C,h,w], deltas [R*K,12]. ``condition`` is the background picture's
        latents, or the picture itself (-1..1) with a convolutional Attribute Controller.
        """
        reference = project_reference(
            self.denoiser, identity_features(self.id_encoder, identity, prompt)
        )
        if self.controller is not None:
            condition = self.controller(condition)
        prediction: Tensor = self.denoiser(
            torch.cat([noisy, condition], dim=1),
            timestep,
            encoder_hidden_states=prompt.expand(len(noisy), -1, -1),
            class_labels=delta,
            cross_attention_kwargs={"reference": reference},
        ).sample
        return prediction


@dataclass
class Start:
    """Everything training needs beside data."""

    networks: Networks
    vae: Autoencoder
    prompt_embeds: Tensor
    scheduler_config: dict[str, Any]
    info: CheckpointInfo


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


def initialise(config: TrainConfig) -> Start:
    """Build or load what ``config.model.start`` names."""
    model = config.model
    if model.start == "scratch":
        return _from_scratch(config)
    if not model.start_folder:
        raise ConfigError(
            f"model.start is {model.start!r}: set model.start_folder to the checkpoint's folder"
        )
    if model.start == "magicface":
        return _from_magicface(config, load_checkpoint(model.start_folder, CPU, torch.float32))
    return _from_stable_diffusion(config)


def _info(config: TrainConfig, values: dict[str, Any] | None = None) -> CheckpointInfo:
    """``magicface.json`` of the result; ``values`` are the starting checkpoint's, if any."""
    if values is None:
        model = config.model
        values = {
            "locality": model.locality,
            "attribute_controller": model.attribute_controller,
        }
    return CheckpointInfo.from_json(json.dumps({**values, **config.info}), "info")


def _scheduler(config: TrainConfig) -> dict[str, Any]:
    return {
        **STABLE_DIFFUSION_SCHEDULER,
        **config.scheduler,
        "prediction_type": config.objective.prediction,
    }


def _controller(config: TrainConfig, vae: Autoencoder) -> ConvolutionController | None:
    if config.model.attribute_controller == "concatenation":
        return None
    return ConvolutionController(reduction=reduction_factor(vae))


def _from_scratch(config: TrainConfig) -> Start:
    torch.manual_seed(config.run.seed)
    vae = load_autoencoder(Path(config.model.autoencoder), torch.float32, CPU)
    controller = _controller(config, vae)
    channels = int(vae.config.latent_channels)
    condition = channels if controller is None else controller.channels
    shape = {**config.model.unet, "out_channels": channels}
    denoiser = build_unet(
        {**shape, "in_channels": channels + condition}, AU_COUNT, config.model.locality
    )
    id_encoder = build_unet({**shape, "in_channels": channels}, None, config.model.locality)
    share_initial_weights(denoiser, id_encoder)
    prompt = torch.zeros(1, config.model.prompt_tokens, int(denoiser.config.cross_attention_dim))
    networks = Networks(denoiser, id_encoder, controller)
    return Start(networks, vae, prompt, _scheduler(config), _info(config))


def _from_magicface(config: TrainConfig, checkpoint: Checkpoint) -> Start:
    networks = Networks(checkpoint.denoiser, checkpoint.id_encoder, checkpoint.controller)
    networks.requires_grad_(True)
    for parameter in dead_parameters(checkpoint.id_encoder):
        parameter.requires_grad_(False)
    scheduler = {**checkpoint.scheduler_config, **config.scheduler}
    known = scheduler.get("prediction_type", "epsilon")
    if known != config.objective.prediction:
        raise ConfigError(
            f"objective.prediction is {config.objective.prediction!r}, but the checkpoint was "
            f"trained with {known!r}; set it to that"
        )
    info = _info(config, dataclasses.asdict(checkpoint.info))
    return Start(networks, checkpoint.vae, checkpoint.prompt_embeds, scheduler, info)


def _from_stable_diffusion(config: TrainConfig) -> Start:
    """Both UNets from Stable Diffusion's; the new input channels and the AU layer start at zero.

    The folder is a diffusers checkpoint with ``unet/`` and ``vae/``; the prompt's embedding is read
    from ``prompt_embeds.safetensors`` in it, so that no text encoder is needed.
    """
    folder = Path(config.model.start_folder)
    vae_folder = Path(config.model.autoencoder) if config.model.autoencoder else folder / "vae"
    vae = load_autoencoder(vae_folder, torch.float32, CPU)
    controller = _controller(config, vae)
    channels = int(vae.config.latent_channels)
    condition = channels if controller is None else controller.channels
    shape = read_config(folder / "unet")
    path = find_weights(folder / "unet")
    weights = read_tensors(path, torch.float32, CPU)
    locality = config.model.locality
    denoiser = build_unet({**shape, "in_channels": channels + condition}, AU_COUNT, locality)
    id_encoder = build_unet(shape, None, locality)
    expected = {k: tuple(v.shape) for k, v in id_encoder.state_dict().items()}
    check_shapes(expected, {k: tuple(v.shape) for k, v in weights.items()}, path)
    id_encoder.load_state_dict(weights)
    _widen(denoiser, weights)
    prompt = _prompt(folder / "prompt_embeds.safetensors")
    networks = Networks(denoiser, id_encoder, controller)
    return Start(networks, vae, prompt, _scheduler(config), _info(config))


def _prompt(path: Path) -> Tensor:
    if not path.is_file():
        raise ConfigError(
            f"{path} is missing; save the text encoder's output for the prompt, [1, 77, 768], "
            "there under the key prompt_embeds"
        )
    return read_tensors(path, torch.float32, CPU)["prompt_embeds"]


@torch.no_grad()
def _widen(denoiser: UNet2DConditionModel, weights: dict[str, Tensor]) -> None:
    state = denoiser.state_dict()
    for name, parameter in state.items():
        if name == "conv_in.weight":
            parameter.zero_()
            parameter[:, : weights[name].shape[1]] = weights[name]
        elif name.startswith("class_embedding."):
            parameter.zero_()
        else:
            parameter.copy_(weights[name])
