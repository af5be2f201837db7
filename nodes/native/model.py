"""The denoiser as a MODEL of ComfyUI: its own UNet with AUs, background and identity as conditions.

AU deltas go where ComfyUI adds class labels to the time embedding, which is where the paper adds
them; the background + pose latents are concatenated after the noisy latents were scaled, so they
stay unscaled as released; for the identity see ``attention.py``. Everything that ComfyUI
relies upon is listed in ``guard.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management as mm
import comfy.model_patcher
import comfy.model_sampling
import comfy.patcher_extension
import comfy.supported_models
import comfy.utils
import torch
from comfy.ldm.modules.attention import SpatialTransformer
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from torch import Tensor, nn

from ...magicface_core.editing.schedulers import make_scheduler
from ...magicface_core.errors import CheckpointError, MagicFaceError
from ...magicface_core.network.autoencoder import PatchAutoencoder
from ...magicface_core.network.denoiser_inputs import add_identity
from ...magicface_core.network.unet import AU_COUNT
from ..memory import STABLE_DIFFUSION_SCALE, SUPPORTED
from .attention import BlockName, with_reference
from .conditions import KEY, Edit
from .layout import to_native, unet_arguments
from .merging import refuse_foreign_merges

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...magicface_core.network import Checkpoint

RESIDUAL_EPSILON = 1e-5  # of ComfyUI's normalisation in residual blocks and at the end
LEAST_SIGNAL = 4.9e-8  # of schedules that end without any; ComfyUI's figure
KINDS = {
    "epsilon": (comfy.model_base.ModelType.EPS, comfy.model_sampling.EPS),
    "v_prediction": (comfy.model_base.ModelType.V_PREDICTION, comfy.model_sampling.V_PREDICTION),
    # ComfyUI has no name for noise that comes with predicted clean latents.
    "sample": (comfy.model_base.ModelType.IMG_TO_IMG, comfy.model_sampling.X0),
}


class NativeUNet(UNetModel):  # type: ignore[misc, unused-ignore]
    """ComfyUI's UNet with a linear layer for the 12 AU deltas and reference attention."""

    def __init__(
        self,
        *,
        norm_groups: int,
        norm_epsilon: float,
        locality: tuple[float, ...],
        dtype: torch.dtype,
        device: torch.device | None,
        operations: Any,
        **settings: Any,
    ) -> None:
        layers = with_groups(operations, norm_groups, norm_epsilon)
        super().__init__(
            **settings, num_classes="continuous", dtype=dtype, device=device, operations=layers
        )
        self.locality = locality
        width = 4 * self.model_channels
        self.label_emb = operations.Linear(AU_COUNT, width, dtype=dtype, device=device)

    def named_blocks(self) -> Iterator[tuple[BlockName, nn.Module]]:
        """Transformer blocks in the order of execution, with ComfyUI's names of their places."""
        sides = {
            "input": self.input_blocks,
            "middle": [self.middle_block],
            "output": self.output_blocks,
        }
        for side, levels in sides.items():
            for place, level in enumerate(levels):
                for layer in level:
                    if isinstance(layer, SpatialTransformer):
                        yield (side, place), layer.transformer_blocks[0]

    def _forward(
        self,
        x: Tensor,
        timesteps: Tensor | None = None,
        context: Tensor | None = None,
        y: Tensor | None = None,
        control: Any = None,
        transformer_options: Mapping[str, Any] | None = None,
        reference: list[Tensor] | None = None,
        identity: list[Tensor] | None = None,
        **others: Any,
    ) -> Tensor:
        options = dict(transformer_options or {})
        if reference is not None:
            options = with_reference(options, list(self.named_blocks()), reference, self.locality)
        predicted: Tensor = super()._forward(x, timesteps, context, y, control, options, **others)
        return predicted if identity is None else add_identity(predicted, identity[0])


class NativeConfig(comfy.supported_models.SD15):  # type: ignore[misc, unused-ignore]
    """What ComfyUI keeps about the model; LoRAs find their layers through it."""

    unet_extra_config: Mapping[str, Any] = {}
    memory_usage_factor = (
        2.0  # twice Stable Diffusion 1.5's, self-attention also sees the reference
    )

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(unet_arguments(checkpoint))
        self.latent_format = latent_format(checkpoint)


class MagicFaceNative(comfy.model_base.BaseModel):  # type: ignore[misc, unused-ignore]
    """A checkpoint's denoiser between ComfyUI's samplers and its UNet."""

    def __init__(self, config: NativeConfig, checkpoint: Checkpoint) -> None:
        prediction = str(checkpoint.scheduler_config.get("prediction_type", "epsilon"))
        kind, sampling = KINDS[prediction]
        super().__init__(config, kind, device=torch.device("meta"), unet_model=NativeUNet)
        self.model_sampling = type(
            "ModelSampling", (comfy.model_sampling.ModelSamplingDiscrete, sampling), {}
        )()
        self.model_sampling.set_sigmas(training_levels(checkpoint.scheduler_config))
        self.checkpoint = checkpoint

    def concat_cond(self, **given: Any) -> Tensor:
        """Background + pose latents [B,C,h,w] as released, without the scaling factor."""
        noise: Tensor = given["noise"]
        background = _sized(_edit(given).background.to(given["device"]), noise)
        repeated: Tensor = comfy.utils.repeat_to_batch_size(background, len(noise))
        return repeated

    def encode_adm(self, **given: Any) -> Tensor:
        """AU deltas [B,12]."""
        return _edit(given).delta.to(given["device"])

    def extra_conds(self, **given: Any) -> dict[str, Any]:
        """All conditions of an edit, checked. Raises MagicFaceError."""
        edit = _edit(given)
        edit.check(self.checkpoint, len(given["noise"]))
        conditions: dict[str, Any] = super().extra_conds(**given)
        reference = [feature.to(given["device"]) for feature in edit.features]
        conditions["reference"] = comfy.conds.CONDList(reference)
        if self.checkpoint.info.identity_skip:
            identity = _sized(edit.identity.to(given["device"]), given["noise"])
            scaled = identity * self.checkpoint.codec.scaling_factor
            conditions["identity"] = comfy.conds.CONDList([scaled])
        return conditions

    def state_dict_for_saving(
        self, unet_state_dict: Mapping[str, Tensor], *others: Any, **parts: Any
    ) -> dict[str, Tensor]:
        """A whole MagicFace checkpoint with this denoiser; see ``saving.py``."""
        from .saving import tensors_to_save

        return tensors_to_save(self, unet_state_dict, [*others, *parts.values()])


def native_model(checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> ModelPatcher:
    """A MODEL of a checkpoint whose denoiser's tensors are given under their own names.

    Raises CheckpointError for a denoiser that ComfyUI's UNet cannot run.
    """
    config = NativeConfig(checkpoint)
    device = mm.get_torch_device()
    dtype = next(iter(tensors.values())).dtype
    config.set_inference_dtype(dtype, mm.unet_manual_cast(dtype, device, SUPPORTED))
    if checkpoint.scheduler_config.get("prediction_type", "epsilon") not in KINDS:
        raise CheckpointError(
            f"prediction_type {checkpoint.scheduler_config['prediction_type']!r} is not known; "
            f"allowed: {', '.join(KINDS)}"
        )
    model = MagicFaceNative(config, checkpoint)
    native = to_native(tensors, config.unet_config)
    model.diffusion_model.load_state_dict(native, strict=True, assign=True)
    model.diffusion_model.requires_grad_(False)
    mm.archive_model_dtypes(model.diffusion_model)
    patcher = comfy.model_patcher.CoreModelPatcher(
        model, load_device=device, offload_device=mm.unet_offload_device()
    )
    patcher.add_callback(comfy.patcher_extension.CallbacksMP.ON_PRE_RUN, refuse_foreign_merges)
    logging.getLogger(__name__).debug("native MagicFace: %d tensors", len(native))
    return patcher


def native_checkpoint(model: ModelPatcher) -> Checkpoint:
    """The checkpoint behind a MODEL. Raises MagicFaceError for any other MODEL."""
    if not isinstance(model.model, MagicFaceNative):
        raise MagicFaceError(
            f"This MODEL is a {type(model.model).__name__}, not MagicFace: connect the one of "
            "Load MagicFace (native)."
        )
    checkpoint: Checkpoint = model.model.checkpoint
    return checkpoint


def with_groups(operations: Any, groups: int, epsilon: float) -> Any:
    """ComfyUI's layers with normalisation in other groups than Stable Diffusion's 32.

    epsilon is that of residual blocks; transformers keep their own, which is the same everywhere.
    """

    def group_norm(
        num_groups: int, num_channels: int, eps: float = RESIDUAL_EPSILON, **settings: Any
    ) -> nn.Module:
        chosen = epsilon if eps == RESIDUAL_EPSILON else eps
        layer: nn.Module = operations.GroupNorm(groups, num_channels, eps=chosen, **settings)
        return layer

    return type(operations.__name__, (operations,), {"GroupNorm": staticmethod(group_norm)})


def training_levels(scheduler_config: Mapping[str, Any]) -> Tensor:
    """Noise over signal at each of the training's timesteps."""
    signal = make_scheduler("ddim", scheduler_config).alphas_cumprod.clamp_min(LEAST_SIGNAL)
    levels: Tensor = ((1 - signal) / signal).sqrt()
    return levels


def latent_format(checkpoint: Checkpoint) -> comfy.latent_formats.LatentFormat:
    """How ComfyUI scales and previews the checkpoint's latents."""
    codec, vae = checkpoint.codec, checkpoint.vae
    if codec.latent_channels == 4 and abs(codec.scaling_factor - STABLE_DIFFUSION_SCALE) < 1e-6:
        return comfy.latent_formats.SD15()
    found = comfy.latent_formats.LatentFormat()
    found.latent_channels, found.scale_factor = codec.latent_channels, codec.scaling_factor
    found.spacial_downscale_ratio = codec.reduction
    if isinstance(vae, PatchAutoencoder):
        # A patch's mean colour is linear in its latents; movements have none.
        weight, bias = (
            part.detach().float().flatten(1).unflatten(0, (3, -1)).mean(1)
            for part in (vae.to_pixels.weight, vae.to_pixels.bias[:, None])
        )
        still = weight.new_zeros(3, codec.latent_channels - weight.shape[1])
        colours = torch.cat([weight, still], dim=1)
        found.latent_rgb_factors = (colours.T / codec.scaling_factor).tolist()
        found.latent_rgb_factors_bias = bias[:, 0].tolist()
    return found


def _sized(latents: Tensor, noise: Tensor) -> Tensor:
    """Latents at the size of the noise."""
    if latents.shape[2:] == noise.shape[2:]:
        return latents
    size = (noise.shape[-1], noise.shape[-2])
    resized: Tensor = comfy.utils.common_upscale(latents, *size, "bilinear", "disabled")
    return resized


def _edit(given: Mapping[str, Any]) -> Edit:
    edit = given.get(KEY)
    if not isinstance(edit, Edit):
        raise MagicFaceError(
            "This MODEL needs both conditionings of MagicFace Conditioning: connect its positive "
            "and negative outputs to the sampler."
        )
    return edit
