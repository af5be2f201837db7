"""Checkpoint folders: the released layout, plus what a self-contained checkpoint adds.

``denoising_unet/`` and ``ID_enc/`` as released (``config.json`` + safetensors, keys as they are),
``vae/``, ``scheduler_config.json``, ``prompt_embeds.safetensors`` and ``magicface.json``. The
released folder has only the first two: the autoencoder then comes from ``vae_folder`` and the
prompt's embedding from ``prompt_embeds``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn

from ..errors import CheckpointError
from .attribute_controller import ConvolutionController
from .autoencoder import Autoencoder, PatchAutoencoder, reduction_factor, to_current_keys
from .info import CheckpointInfo, read_info
from .unet import AU_COUNT, build_unet, to_released_keys, to_stock_keys
from .weights import (
    check_shapes,
    find_weights,
    load_into,
    read_config,
    read_header,
    read_object,
    read_tensors,
)

T = TypeVar("T")
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
            f"no checkpoint folder {folder}; "
            "give a folder with denoising_unet/ and ID_enc/, or 'mini'"
        )
    for part in ("denoising_unet", "ID_enc"):
        if not (folder / part).is_dir():
            raise CheckpointError(
                f"{folder} lacks the folder {part}/; copy it from the checkpoint's source"
            )
    return folder


def default_device() -> torch.device:
    """CUDA where present, then MPS, then CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def load_unet(
    folder: Path,
    au_inputs: int | None,
    info: CheckpointInfo,
    dtype: torch.dtype,
    device: torch.device,
) -> UNet2DConditionModel:
    """One of the two UNets, its header checked before any weight is read."""
    config = read_config(folder)
    unet = _build_empty(folder, lambda: build_unet(config, au_inputs, info.locality))
    _fill(unet, find_weights(folder), dtype, device, to_stock_keys, to_released_keys)
    return unet.eval().requires_grad_(False)


def load_autoencoder(folder: Path, dtype: torch.dtype, device: torch.device) -> Autoencoder:
    """``AutoencoderKL`` or ``PatchAutoencoder``, whichever the folder's config names."""
    config = read_config(folder)
    kind = PatchAutoencoder if config.get("_class_name") == "PatchAutoencoder" else AutoencoderKL
    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    vae: Autoencoder = _build_empty(folder, lambda: kind.from_config(settings))
    _fill(vae, find_weights(folder), dtype, device, to_current_keys)
    return vae.eval().requires_grad_(False)


def _build_empty(folder: Path, build: Callable[[], Any]) -> Any:
    """A module without storage; a config that makes none is the checkpoint's fault."""
    try:
        with torch.device("meta"):
            return build()
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{folder}/config.json describes no network this version can build: {error}"
        ) from error


Renaming = Callable[[Mapping[str, T]], dict[str, T]]


def _fill(
    module: nn.Module,
    path: Path,
    dtype: torch.dtype,
    device: torch.device,
    from_file: Renaming,
    to_file: Renaming = dict,
) -> None:
    """Load a file whose keys ``from_file`` turns into the module's; ``to_file`` is its inverse.

    Complaints name keys as they are in the file.
    """
    expected = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    check_shapes(to_file(expected), to_file(from_file(read_header(path))), path)
    load_into(module, from_file(read_tensors(path, dtype, device)))


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
    place = folder / "attribute_controller"
    config = read_config(place)
    controller: ConvolutionController = _build_empty(
        place, lambda: ConvolutionController(config["channels"], config["reduction"])
    )
    _fill(controller, find_weights(place), dtype, device, dict)
    return controller.eval().requires_grad_(False)


def _load_prompt(folder: Path, given: Tensor | None, denoiser: UNet2DConditionModel) -> Tensor:
    path = folder / "prompt_embeds.safetensors"
    if given is None and not path.is_file():
        raise CheckpointError(
            f"{folder} lacks prompt_embeds.safetensors; pass prompt_embeds, the text encoder's "
            '[1, 77, 768] output for "A close up of a person."'
        )
    if given is None:
        read_header(path)
        tensors = read_tensors(path, torch.float32, torch.device("cpu"))
        if "prompt_embeds" not in tensors:
            raise CheckpointError(
                f"{path} holds {sorted(tensors)[:3]}, expected the key prompt_embeds"
            )
        given = tensors["prompt_embeds"]
    width = int(denoiser.config.cross_attention_dim)
    if given.ndim != 3 or given.shape[0] != 1 or given.shape[2] != width:
        raise CheckpointError(
            f"prompt_embeds has shape {list(given.shape)}, expected [1, tokens, {width}]"
        )
    return given


def _load_scheduler(folder: Path) -> dict[str, Any]:
    path = folder / "scheduler_config.json"
    if not path.is_file():
        return dict(STABLE_DIFFUSION_SCHEDULER)
    return {k: v for k, v in read_object(path).items() if not k.startswith("_")}


def _check_channels(checkpoint: Checkpoint, folder: Path) -> None:
    latent = int(checkpoint.vae.config.latent_channels)
    condition = latent if checkpoint.controller is None else checkpoint.controller.channels
    found = {
        "denoising_unet in_channels": (checkpoint.denoiser.config.in_channels, latent + condition),
        "denoising_unet out_channels": (checkpoint.denoiser.config.out_channels, latent),
        "ID_enc in_channels": (checkpoint.id_encoder.config.in_channels, latent),
    }
    for name, (value, expected) in found.items():
        if value != expected:
            raise CheckpointError(
                f"{folder}: {name} is {value}, but the autoencoder asks for {expected}"
            )
