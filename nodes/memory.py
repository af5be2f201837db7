"""Checkpoints under ComfyUI's memory manager.

Each network is a ModelPatcher of its own. ComfyUI decides what lies on the GPU; layers whose
weights it left elsewhere fetch them when they run, so every mode from --gpu-only to --novram works
with the same code, and nothing here moves a weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import comfy.model_management as mm
import comfy.model_patcher
import comfy.ops
import torch
from torch import nn

from ..magicface_core.errors import MagicFaceError
from ..magicface_core.framing.framing import Framing
from ..magicface_core.perception import Perception
from ..magicface_core.perception.backends import AUTO
from ..magicface_core.pictures.images import channels_last, to_tensor
from .backends import model_stores
from .files import checkpoint_path

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ..magicface_core.editing.rendering import EncodedIdentity
    from ..magicface_core.network.checkpoint import Checkpoint
    from ..magicface_core.network.parts import CheckpointParts
    from ..magicface_core.perception import Face

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
SUPPORTED = [torch.float16, torch.bfloat16, torch.float32]
STABLE_DIFFUSION_SCALE = 0.18215

# Working memory per latent and byte of a number. The first is ComfyUI's figure for Stable
# Diffusion 1.5, twice, since self-attention also sees the reference; the other is its figure for
# decoding with AutoencoderKL, which needs more than encoding.
DENOISER_BYTES = 2 * 10_486
DECODER_BYTES = 64 * 2_178

NO_DENOISER = (
    "This comes from Load MagicFace (native), whose denoiser is the MODEL output: sample with "
    "MagicFace Conditioning and KSampler, or load with Load MagicFace Model for MagicFace Sampler."
)

CASTING_LAYERS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: comfy.ops.manual_cast.Linear,
    nn.Conv2d: comfy.ops.manual_cast.Conv2d,
    nn.GroupNorm: comfy.ops.manual_cast.GroupNorm,
    nn.LayerNorm: comfy.ops.manual_cast.LayerNorm,
}


class ManagedNetwork(nn.Module):
    """A plain shell: ComfyUI sets `device` on what it manages, which diffusers' classes refuse."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


@dataclass(frozen=True)
class LoadedModel:
    """A checkpoint whose networks come and go as memory allows; the output of Load MagicFace Model.

    vae is ComfyUI's, in place of the checkpoint's own; it manages its own memory. Without a
    denoiser, which then is a MODEL of its own, only identities can be encoded.
    """

    checkpoint: Checkpoint
    denoiser: ModelPatcher | None
    id_encoder: ModelPatcher
    picture_networks: tuple[ModelPatcher, ...]
    vae: Any = None

    @property
    def framing(self) -> Framing:
        """How the checkpoint wants its pictures."""
        return Framing.of(self.checkpoint.info)

    def load_identity_networks(self, batch_size: int = 4) -> Checkpoint:
        """The checkpoint, ready to encode identities."""
        return self._load(self.id_encoder, batch_size)

    def load_sampling_networks(self, batch_size: int) -> Checkpoint:
        """The checkpoint, ready to sample and decode `batch_size` pictures at a time.

        Raises MagicFaceError where the denoiser is a MODEL.
        """
        if self.denoiser is None:
            raise MagicFaceError(NO_DENOISER)
        return self._load(self.denoiser, 2 * batch_size)  # two halves of guidance

    def load_autoencoder(self) -> Checkpoint:
        """The checkpoint, ready to decode one picture at a time."""
        if self.vae is None:
            memory = self._working_memory(2)  # rows: of which a picture has two while it is sampled
            mm.load_models_gpu(list(self.picture_networks), memory_required=memory)
        return self.checkpoint

    def _load(self, network: ModelPatcher, rows: int) -> Checkpoint:
        memory = self._working_memory(rows)
        mm.load_models_gpu([network, *self.picture_networks], memory_required=memory)
        if self.vae is None:
            return self.checkpoint
        return replace(self.checkpoint, vae=ConnectedVAE(self.vae, network, memory))

    def _working_memory(self, rows: int) -> float:
        latents = rows * self.checkpoint.latent_size**2
        needed = latents * self.checkpoint.dtype.itemsize * DENOISER_BYTES
        if self.vae is not None:
            return needed
        return max(needed, latents * self.checkpoint.vae_dtype.itemsize * DECODER_BYTES / 2)


@dataclass(frozen=True)
class ConnectedVAE:
    """A VAE of ComfyUI as the library's autoencoder (`network.autoencoder.PictureCodec`).

    On small GPUs it takes the place of the network that runs next, which is called back here.
    """

    vae: Any
    network: ModelPatcher | None = None
    memory: float = 0.0

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return int(self.vae.latent_channels)

    @property
    def reduction(self) -> int:
        """Pixels per latent along one side."""
        return int(self.vae.spacial_compression_encode())

    @property
    def scaling_factor(self) -> float:
        """That of Stable Diffusion 1.5, the only kind of VAE that fits."""
        return STABLE_DIFFUSION_SCALE

    def encode_pictures(self, pictures: torch.Tensor) -> torch.Tensor:
        """Posterior mode, not scaled, of pictures [B,3,H,W] in 0..1."""
        latents: torch.Tensor = self.vae.encode(channels_last(pictures))
        if self.network is not None:
            mm.load_models_gpu([self.network], memory_required=self.memory)
        return latents

    def decode_pictures(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures [B,3,H,W] in 0..1 of latents that are not scaled."""
        return to_tensor(self.vae.decode(latents))


class InterruptiblePerception(Perception):
    """Asked once for every frame, which is where a long video can be stopped."""

    def faces(self, image: torch.Tensor, limit: int | None = None) -> list[Face]:
        """Faces of a picture, unless the user has interrupted."""
        mm.throw_exception_if_processing_interrupted()
        return super().faces(image, limit)


def load_model(name: str, dtype: str, vae: Any = None, clip: Any = None) -> LoadedModel:
    """Read a listed checkpoint and hand it to the memory manager.

    dtype is "auto" or a key of DTYPES; vae and clip are ComfyUI's. Raises CheckpointError.
    """
    return managed(read_checkpoint(open_checkpoint(name), dtype, vae, clip), vae)


def open_checkpoint(name: str) -> CheckpointParts:
    """The parts of a listed checkpoint. Raises CheckpointError for any other name."""
    from ..magicface_core.network.checkpoint import resolve_checkpoint
    from ..magicface_core.network.merged import open_parts

    return open_parts(resolve_checkpoint(checkpoint_path(name)))


def read_checkpoint(
    parts: CheckpointParts,
    dtype: str,
    vae: Any = None,
    clip: Any = None,
    denoiser_elsewhere: bool = False,
) -> Checkpoint:
    """Read a checkpoint's networks, in ComfyUI's precision unless dtype is a key of DTYPES."""
    from ..magicface_core.network.checkpoint import load_checkpoint

    device = mm.get_torch_device()
    weight_dtype = DTYPES.get(dtype) or own_dtype(parts, device)
    loaded = load_checkpoint(
        parts.place,
        device=mm.unet_offload_device(),
        dtype=weight_dtype,
        prompt_embeds=_prompt(clip) if clip and parts.prompt_embeds() is None else None,
        codec=None if vae is None else ConnectedVAE(vae),
        vae_dtype=_own_vae_dtype(parts, device),
        denoiser_elsewhere=denoiser_elsewhere,
    )
    compute_dtype = mm.unet_manual_cast(weight_dtype, device, SUPPORTED) or weight_dtype
    return replace(loaded, compute_device=device, compute_dtype=compute_dtype)


def managed(
    checkpoint: Checkpoint, vae: Any = None, denoiser_elsewhere: bool = False
) -> LoadedModel:
    """A checkpoint under ComfyUI's memory manager; vae is ComfyUI's, if it has one of those."""
    own = {"AttributeController": checkpoint.controller, "Autoencoder": checkpoint.vae}
    return LoadedModel(
        checkpoint,
        denoiser=None if denoiser_elsewhere else manage(checkpoint.denoiser, "Denoiser"),
        id_encoder=manage(checkpoint.id_encoder, "IDEncoder"),
        picture_networks=tuple(
            manage(part, name) for name, part in own.items() if isinstance(part, nn.Module)
        ),
        vae=vae,
    )


def manage(network: nn.Module, name: str) -> ModelPatcher:
    """A network under ComfyUI's memory manager, whose log shows the name."""
    let_layers_cast(network.modules())
    shell = type(f"MagicFace{name}", (ManagedNetwork,), {})
    return comfy.model_patcher.CoreModelPatcher(
        shell(network),
        load_device=mm.get_torch_device(),
        offload_device=mm.unet_offload_device(),
    )


def let_layers_cast(modules: Iterable[nn.Module]) -> None:
    """Give layers ComfyUI's own classes, which fetch their weights in the input's type and place.

    Weights that ComfyUI leaves on the CPU when memory is short work only in such layers.
    """
    for module in modules:
        kind = CASTING_LAYERS.get(type(module))
        if kind is not None:
            module.__class__ = kind


def perception(parser: str = AUTO, au_estimator: str = AUTO) -> Perception:
    """Faces, masks and action units on the CPU, by the backends named or the best ones present.

    Raises ModelError for a backend that cannot be used, with what to do.
    """
    return InterruptiblePerception.load(
        parser=parser, au_estimator=au_estimator, models=model_stores()
    )


def intermediate(tensor: torch.Tensor) -> torch.Tensor:
    """A result where ComfyUI wants it between nodes."""
    return tensor.to(mm.intermediate_device())


def intermediate_identity(identity: EncodedIdentity) -> EncodedIdentity:
    """An identity where ComfyUI wants it between nodes."""
    return identity.to(mm.intermediate_device())


def own_dtype(parts: CheckpointParts, device: torch.device) -> torch.dtype:
    """ComfyUI's choice of precision for networks of this size."""
    shapes = parts.part("denoising_unet").shapes().values()
    size = sum(math.prod(shape) for shape in shapes)
    chosen: torch.dtype = mm.unet_dtype(device, model_params=size, supported_dtypes=SUPPORTED)
    return chosen


def _own_vae_dtype(parts: CheckpointParts, device: torch.device) -> torch.dtype:
    """ComfyUI's choice for Stable Diffusion's autoencoder; small ones stay exact."""
    large = parts.has("vae") and parts.part("vae").config().get("_class_name") == "AutoencoderKL"
    allowed = [torch.bfloat16, torch.float32] if large else [torch.float32]
    chosen: torch.dtype = mm.vae_dtype(device, allowed)
    return chosen


def _prompt(clip: Any) -> torch.Tensor:
    """The fixed prompt as a connected text encoder sees it, [1,77,C]."""
    from ..magicface_core.network.parts import PROMPT

    embedding: torch.Tensor = clip.encode_from_tokens(clip.tokenize(PROMPT))
    return embedding
