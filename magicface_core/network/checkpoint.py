"""Checkpoint folders: the released layout, plus what a self-contained checkpoint adds.

``denoising_unet/`` and ``ID_enc/`` as released (``config.json`` + safetensors, keys as they are), ``vae/``,
``scheduler_config.json``, ``prompt_embeds.safetensors`` and ``magicface.json``. The released folder has only the
first two: the autoencoder then comes from ``vae_folder`` and the prompt's embedding from ``prompt_embeds``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from ..errors import CheckpointError
from .attribute_controller import ConvolutionController
from .autoencoder import Autoencoder, PatchAutoencoder, reduction_factor
from .info import CheckpointInfo, read_info
from .unet import AU_COUNT, build_unet, to_released_keys, to_stock_keys
from .weights import (
    check_shapes,
    find_weights,
    load_into,
    read_config,
    read_header,
    read_tensors,
    write_tensors,
)

EMBEDDED = Path(__file__).resolve().parent.parent / "assets" / "mini"
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
    """All networks of MagicFace on one device, ready for inference."""

    denoiser: UNet2DConditionModel
    id_encoder: UNet2DConditionModel
    vae: Autoencoder
    controller: ConvolutionController | None  # None: the released concatenation of VAE latents
    prompt_embeds: Tensor  # [1, tokens, cross_attention_dim]
    scheduler_config: dict[str, Any]
    info: CheckpointInfo

    @property
    def device(self) -> torch.device:
        """Device of the denoiser."""
        return self.denoiser.device

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the denoiser."""
        return self.denoiser.dtype

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.denoiser.config.out_channels)

    @property
    def latent_size(self) -> int:
        """Latents along one side at the checkpoint's resolution."""
        return self.info.resolution // reduction_factor(self.vae)


def load_checkpoint(
    name_or_folder: str | Path,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    prompt_embeds: Tensor | None = None,
    vae_folder: Path | None = None,
) -> Checkpoint:
    """Load a checkpoint folder, or the embedded one under the name "mini".

    Args:
        name_or_folder: "mini" or a folder in the layout above.
        device: default CUDA, then MPS, then CPU.
        dtype: float32, float16 or bfloat16; default float32 on CPU, float16 elsewhere.
        prompt_embeds: [1, tokens, C] for folders without ``prompt_embeds.safetensors``.
        vae_folder: diffusers folder of a Stable Diffusion 1.5 VAE for folders without ``vae/``.

    Raises:
        CheckpointError: something is missing or does not fit; names what and the fix.
    """
    folder = resolve_folder(name_or_folder)
    device = default_device() if device is None else torch.device(device)
    if dtype is None:
        dtype = torch.float32 if device.type == "cpu" else torch.float16
    info = read_info(folder)
    denoiser = load_unet(folder / "denoising_unet", AU_COUNT, info, dtype, device)
    checkpoint = Checkpoint(
        denoiser=denoiser,
        id_encoder=load_unet(folder / "ID_enc", None, info, dtype, device),
        vae=load_autoencoder(_vae_folder(folder, vae_folder), dtype, device),
        controller=_load_controller(folder, info, dtype, device),
        prompt_embeds=_load_prompt(folder, prompt_embeds, denoiser).to(device, dtype),
        scheduler_config=_load_scheduler(folder),
        info=info,
    )
    _check_channels(checkpoint, folder)
    return checkpoint


def resolve_folder(name_or_folder: str | Path) -> Path:
    """The folder of a checkpoint name."""
    folder = EMBEDDED if str(name_or_folder) == "mini" else Path(name_or_folder).expanduser()
    if not folder.is_dir():
        raise CheckpointError(
            f"no checkpoint folder {folder}; give a folder with denoising_unet/ and ID_enc/, or 'mini'"
        )
    for part in ("denoising_unet", "ID_enc"):
        if not (folder / part).is_dir():
            raise CheckpointError(f"{folder} lacks the folder {part}/; copy it from the checkpoint's source")
    return folder


def default_device() -> torch.device:
    """CUDA where present, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_unet(
    folder: Path, au_inputs: int | None, info: CheckpointInfo, dtype: torch.dtype, device: torch.device
) -> UNet2DConditionModel:
    """One of the two UNets, its header checked before any weight is read."""
    with torch.device("meta"):
        unet = build_unet(read_config(folder), au_inputs, info.locality)
    _fill(unet, find_weights(folder), dtype, device, released=True)
    return unet.eval().requires_grad_(False)


def load_autoencoder(folder: Path, dtype: torch.dtype, device: torch.device) -> Autoencoder:
    """``AutoencoderKL`` or ``PatchAutoencoder``, whichever the folder's config names."""
    config = read_config(folder)
    kind = PatchAutoencoder if config.get("_class_name") == "PatchAutoencoder" else AutoencoderKL
    with torch.device("meta"):
        vae = kind.from_config({k: v for k, v in config.items() if not k.startswith("_")})
    _fill(vae, find_weights(folder), dtype, device)
    ready: Autoencoder = vae.eval().requires_grad_(False)
    return ready


def _fill(
    module: nn.Module, path: Path, dtype: torch.dtype, device: torch.device, released: bool = False
) -> None:
    expected = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    if released:
        expected = dict(to_released_keys(expected))  # type: ignore[arg-type]
    check_shapes(expected, read_header(path), path)
    tensors = read_tensors(path, dtype, device)
    load_into(module, to_stock_keys(tensors) if released else tensors)


def _vae_folder(folder: Path, given: Path | None) -> Path:
    found = given or folder / "vae"
    if not found.is_dir():
        raise CheckpointError(
            f"{folder} has no vae/; copy the vae folder of a Stable Diffusion 1.5 checkpoint there"
        )
    return found


def _load_controller(
    folder: Path, info: CheckpointInfo, dtype: torch.dtype, device: torch.device
) -> ConvolutionController | None:
    if info.attribute_controller == "concatenation":
        return None
    path = find_weights(folder / "attribute_controller")
    config = read_config(folder / "attribute_controller")
    with torch.device("meta"):
        controller = ConvolutionController(config["channels"], config["reduction"])
    _fill(controller, path, dtype, device)
    return controller.eval().requires_grad_(False)


def _load_prompt(folder: Path, given: Tensor | None, denoiser: UNet2DConditionModel) -> Tensor:
    path = folder / "prompt_embeds.safetensors"
    if given is None and not path.is_file():
        raise CheckpointError(
            f"{folder} lacks prompt_embeds.safetensors; pass prompt_embeds, the text encoder's [1, 77, 768] "
            'output for "A close up of a person."'
        )
    if given is None:
        read_header(path)
        tensors = read_tensors(path, torch.float32, torch.device("cpu"))
        if "prompt_embeds" not in tensors:
            raise CheckpointError(f"{path} holds {sorted(tensors)[:3]}, expected the key prompt_embeds")
        given = tensors["prompt_embeds"]
    width = int(denoiser.config.cross_attention_dim)
    if given.ndim != 3 or given.shape[0] != 1 or given.shape[2] != width:
        raise CheckpointError(f"prompt_embeds has shape {list(given.shape)}, expected [1, tokens, {width}]")
    return given


def _load_scheduler(folder: Path) -> dict[str, Any]:
    path = folder / "scheduler_config.json"
    if not path.is_file():
        return dict(STABLE_DIFFUSION_SCHEDULER)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    return {k: v for k, v in tree.items() if not k.startswith("_")}


def _check_channels(checkpoint: Checkpoint, folder: Path) -> None:
    latent = int(checkpoint.vae.config.latent_channels)
    condition = latent if checkpoint.controller is None else checkpoint.controller.layers[-1].out_channels
    found = {
        "denoising_unet in_channels": (checkpoint.denoiser.config.in_channels, latent + condition),
        "denoising_unet out_channels": (checkpoint.denoiser.config.out_channels, latent),
        "ID_enc in_channels": (checkpoint.id_encoder.config.in_channels, latent),
    }
    for name, (value, expected) in found.items():
        if value != expected:
            raise CheckpointError(f"{folder}: {name} is {value}, but the autoencoder asks for {expected}")


def save_checkpoint(
    folder: Path,
    *,
    denoiser: UNet2DConditionModel,
    id_encoder: UNet2DConditionModel,
    vae: Autoencoder,
    prompt_embeds: Tensor,
    scheduler_config: Mapping[str, Any],
    info: CheckpointInfo,
    controller: ConvolutionController | None = None,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a complete checkpoint folder in the layout above, released key names included."""
    for name, module in (("denoising_unet", denoiser), ("ID_enc", id_encoder), ("vae", vae)):
        _save_module(folder / name, to_released_keys(module.state_dict()), module.config, type(module), dtype)
    if controller is not None:
        first, count = controller.layers[0], sum(1 for m in controller.layers if isinstance(m, nn.Conv2d))
        settings = {"channels": first.out_channels, "reduction": 2**count}
        _save_module(
            folder / "attribute_controller", controller.state_dict(), settings, type(controller), dtype
        )
    write_tensors(folder / "prompt_embeds.safetensors", {"prompt_embeds": prompt_embeds.float()})
    (folder / "scheduler_config.json").write_text(json.dumps(dict(scheduler_config), indent=2) + "\n")
    (folder / "magicface.json").write_text(info.to_json())


def _save_module(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any], kind: type, dtype: torch.dtype
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"_class_name": kind.__name__, **{k: v for k, v in config.items() if not k.startswith("_")}}
    (folder / "config.json").write_text(json.dumps(settings, indent=2, default=list) + "\n")
    write_tensors(folder / "diffusion_pytorch_model.safetensors", {k: v.to(dtype) for k, v in tensors.items()})
