"""Where training starts: from scratch, from Stable Diffusion, or from a MagicFace checkpoint."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from magicface_core.network.attribute_controller import ConvolutionController
from magicface_core.network.autoencoder import Autoencoder, reduction_factor
from magicface_core.network.checkpoint import (
    STABLE_DIFFUSION_SCHEDULER,
    Checkpoint,
    load_autoencoder,
    load_checkpoint,
)
from magicface_core.network.denoiser_inputs import check_identity_skip
from magicface_core.network.denoisers import (
    ControlledUNet,
    build_denoiser,
    input_channels,
    start_controlnet,
)
from magicface_core.network.identity_paths import IDENTITY_PATHS, IdentityEncoder
from magicface_core.network.image_encoder import ImageEncoder
from magicface_core.network.info import CheckpointInfo
from magicface_core.network.unet import build_unet, share_initial_weights
from magicface_core.network.weights import check_shapes, find_weights, read_config, read_tensors

from .au_readers import AUReaders
from .config import ConfigError, ModelConfig, TrainConfig
from .networks import Networks, dead_parameters
from .widening import check_continues, on_wider_latents

__all__ = ["Networks", "Start", "dead_parameters", "initialise"]
CPU = torch.device("cpu")
KINDS = ("identity", "action_units", "attribute_controller")


@dataclass
class Start:
    """Everything training needs beside data."""

    networks: Networks
    vae: Autoencoder
    prompt_embeds: Tensor
    scheduler_config: dict[str, Any]
    info: CheckpointInfo
    readers: AUReaders | None = None


def initialise(config: TrainConfig) -> Start:
    """Build or load what ``config.model.start`` names."""
    model = config.model
    if model.freeze_denoiser and (model.identity != "controlnet" or model.start == "scratch"):
        raise ConfigError(
            f"model.freeze_denoiser leaves nothing that can learn with model.identity "
            f"{model.identity!r} from {model.start!r}: it goes with 'controlnet' from trained "
            "weights; set it to false"
        )
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
        own = {name: getattr(model, name) for name in (*KINDS, "identity_skip")}
        values = {"locality": model.locality, **own}
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
    channels = int(vae.config.latent_channels)
    shape = {**config.model.unet, "in_channels": channels, "out_channels": channels}
    networks = _networks(config, shape, vae)
    denoiser, id_encoder = networks.denoiser, networks.id_encoder
    if isinstance(id_encoder, UNet2DConditionModel):
        share_initial_weights(denoiser, id_encoder)
    if networks.identity_skip:
        start_as_copy(denoiser)
    if isinstance(denoiser, ControlledUNet):
        start_controlnet(denoiser)
    prompt = torch.zeros(1, config.model.prompt_tokens, int(denoiser.config.cross_attention_dim))
    return Start(networks, vae, prompt, _scheduler(config), _info(config))


def _networks(config: TrainConfig, shape: dict[str, Any], vae: Autoencoder) -> Networks:
    """Random networks; ``shape`` is the ``config.json`` of a UNet on the latents alone."""
    model, controller = config.model, _controller(config, vae)
    latent = int(vae.config.latent_channels)
    condition = latent if controller is None else controller.channels
    channels = input_channels(model.identity, model.action_units, latent, condition)
    denoiser = build_denoiser(
        {**shape, **channels}, model.identity, model.action_units, model.locality
    )
    id_encoder = _id_encoder(config, shape, int(denoiser.config.cross_attention_dim))
    check_identity_skip(model.identity_skip, model.identity, _scheduler(config))
    skip = float(vae.config.scaling_factor) if model.identity_skip else 0.0
    return Networks(denoiser, id_encoder, controller, model.identity, model.freeze_denoiser, skip)


@torch.no_grad()
def start_as_copy(denoiser: UNet2DConditionModel) -> None:
    """An output of zeros: with an identity skip, the untrained network returns the portrait.

    The noisy latents start unread: what is asked for can be told from identity and AUs alone.
    """
    for parameter in denoiser.conv_out.parameters():
        parameter.zero_()
    denoiser.conv_in.weight[:, : denoiser.config.out_channels].zero_()


def _id_encoder(config: TrainConfig, shape: dict[str, Any], width: int) -> IdentityEncoder:
    model = config.model
    if model.identity != "image-encoder":
        return IDENTITY_PATHS[model.identity].build_encoder(shape, model.locality)
    if not model.image_encoder:
        raise ConfigError(
            "model.identity is 'image-encoder': set model.image_encoder to a folder with CLIP's "
            "config.json and model.safetensors"
        )
    return ImageEncoder.from_folder(Path(model.image_encoder), width)


def _from_magicface(config: TrainConfig, checkpoint: Checkpoint) -> Start:
    for name in KINDS:
        asked, own = getattr(config.model, name), getattr(checkpoint.info, name)
        if asked not in (own, getattr(ModelConfig(), name)):
            raise ConfigError(
                f"model.{name} is {asked!r}, but the checkpoint in {config.model.start_folder} has "
                f"{own!r}; set it to that"
            )
    skip = checkpoint.info.identity_skip or config.model.identity_skip
    networks, vae = _continued(config, checkpoint, skip)
    scheduler = {**checkpoint.scheduler_config, **config.scheduler}
    known = scheduler.get("prediction_type", "epsilon")
    if known != config.objective.prediction:
        raise ConfigError(
            f"objective.prediction is {config.objective.prediction!r}, but the checkpoint was "
            f"trained with {known!r}; set it to that"
        )
    check_identity_skip(skip, checkpoint.info.identity, scheduler)
    info = _info(config, {**dataclasses.asdict(checkpoint.info), "identity_skip": skip})
    return Start(networks, vae, checkpoint.prompt_embeds, scheduler, info)


def _continued(
    config: TrainConfig, checkpoint: Checkpoint, skip: bool
) -> tuple[Networks, Autoencoder]:
    """A checkpoint's networks, on wider latents where ``model.wider_autoencoder`` names them.

    A skip that the checkpoint lacks starts as a copy.
    """
    vae, denoiser, id_encoder = checkpoint.vae, checkpoint.denoiser, checkpoint.id_encoder
    if config.model.wider_autoencoder:
        vae = load_autoencoder(Path(config.model.wider_autoencoder), torch.float32, CPU)
        check_continues(vae, checkpoint.vae, config.model.wider_autoencoder)
        denoiser, id_encoder = on_wider_latents(checkpoint, int(vae.config.latent_channels))
    if skip and not checkpoint.info.identity_skip:
        start_as_copy(denoiser)
    factor = float(vae.config.scaling_factor) if skip else 0.0
    kind, frozen = checkpoint.info.identity, config.model.freeze_denoiser
    return Networks(denoiser, id_encoder, checkpoint.controller, kind, frozen, factor), vae


def _from_stable_diffusion(config: TrainConfig) -> Start:
    """Every UNet from Stable Diffusion's; new input channels and the AU layer start at zero.

    The folder is a diffusers checkpoint with ``unet/`` and ``vae/``; the prompt's embedding is read
    from ``prompt_embeds.safetensors`` in it, so that no text encoder is needed.
    """
    torch.manual_seed(config.run.seed)
    folder = Path(config.model.start_folder)
    vae_folder = Path(config.model.autoencoder) if config.model.autoencoder else folder / "vae"
    vae = load_autoencoder(vae_folder, torch.float32, CPU)
    shape = read_config(folder / "unet")
    path = find_weights(folder / "unet")
    weights = read_tensors(path, torch.float32, CPU)
    with torch.device("meta"):
        expected = build_unet(shape, None).state_dict()
    check_shapes(_shapes(expected), _shapes(weights), path)
    networks = _networks(config, shape, vae)
    if isinstance(networks.id_encoder, UNet2DConditionModel):
        networks.id_encoder.load_state_dict(weights)
    _widen(networks.denoiser, weights)
    if isinstance(networks.denoiser, ControlledUNet):
        start_controlnet(networks.denoiser)
    prompt = _prompt(folder / "prompt_embeds.safetensors")
    return Start(networks, vae, prompt, _scheduler(config), _info(config))


def _shapes(tensors: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(tensor.shape) for key, tensor in tensors.items()}


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
        elif name in weights:
            parameter.copy_(weights[name])
