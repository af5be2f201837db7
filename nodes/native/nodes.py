"""MagicFace as a MODEL for ComfyUI's own samplers, schedulers, LoRAs and ControlNets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from comfy_api.latest import io

from ...magicface_core.editing.schedulers import SCHEDULERS
from ...magicface_core.pictures.images import channels_last, to_tensor
from .. import types
from ..files import EMBEDDED, checkpoint_choices, checkpoint_fingerprint, missing_checkpoint
from ..memory import intermediate
from ..model import AUTO
from ..sampling import CHECKPOINT
from .loading import NATIVE_DTYPES, load_native

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ...magicface_core.aus import AUDelta
    from ...magicface_core.editing.rendering import EncodedIdentity
    from ..memory import LoadedModel


class LoadNative(io.ComfyNode):
    """A checkpoint as MODEL, ID encoder, VAE and prompt; nothing is downloaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_LoadNative",
            display_name="Load MagicFace (native)",
            category="MagicFace/model",
            description="Loads a MagicFace checkpoint as a MODEL of ComfyUI, for KSampler, LoRAs, "
            "ControlNets and other nodes for models. Nothing is downloaded.",
            search_aliases=["MagicFace MODEL", "native", "KSampler", "LoRA", "load model"],
            inputs=[
                io.Combo.Input(
                    "checkpoint",
                    options=checkpoint_choices(),
                    default=EMBEDDED,
                    tooltip="mini is part of the pack. Others are folders or single files in "
                    "models/magicface.",
                ),
                io.Combo.Input(
                    "dtype",
                    options=[AUTO, *NATIVE_DTYPES],
                    tooltip="Precision of the MODEL's weights; auto lets ComfyUI decide.",
                    advanced=True,
                ),
                io.Vae.Input(
                    "vae",
                    optional=True,
                    tooltip="A Stable Diffusion 1.5 VAE, for checkpoints without one of their own.",
                ),
                io.Clip.Input(
                    "clip",
                    optional=True,
                    tooltip="Stable Diffusion 1.5's text encoder, for checkpoints that lack the "
                    "fixed prompt.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    "model_out", display_name="model", tooltip="For KSampler and LoRA loaders."
                ),
                types.Model.Output(
                    "id_encoder",
                    display_name="ID encoder",
                    tooltip="For Face Crop, ID Encoder and MagicFace Decode.",
                ),
                io.Vae.Output(
                    "vae_out",
                    display_name="vae",
                    tooltip="The checkpoint's own VAE, or the connected one.",
                ),
                io.Conditioning.Output(
                    "prompt",
                    display_name="prompt",
                    tooltip="The fixed prompt of the training, for both sides of MagicFace "
                    "Conditioning.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str | None = None) -> bool | str:
        return True if checkpoint is None else missing_checkpoint(checkpoint) or True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, **_: Any) -> str:
        return "" if checkpoint is None else checkpoint_fingerprint(checkpoint)

    @classmethod
    def execute(
        cls, checkpoint: str, dtype: str, vae: Any = None, clip: Any = None
    ) -> io.NodeOutput:
        native = load_native(checkpoint, dtype, vae, clip)
        return io.NodeOutput(native.model, native.id_encoder, native.vae, native.prompt)


class MagicFaceConditioning(io.ComfyNode):
    """Who, where and which expression, as conditions for ComfyUI's samplers."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_Conditioning",
            display_name="MagicFace Conditioning",
            category="MagicFace/sampling",
            description="Adds identity, background and action units to a prompt, for KSampler and "
            "a native MagicFace MODEL. cfg is the AU guidance: 1.5 as released, above 5 degrades.",
            search_aliases=["expression edit", "KSampler", "native", "smile", "AU guidance"],
            inputs=[
                io.Conditioning.Input("positive", tooltip="The prompt of Load MagicFace (native)."),
                io.Conditioning.Input(
                    "negative", tooltip="The same prompt: only the action units differ."
                ),
                io.Vae.Input("vae", tooltip="From Load MagicFace (native)."),
                types.Identity.Input("identity", tooltip="From ID Encoder."),
                io.Image.Input("background", tooltip="From Background+Pose Parse."),
                types.Delta.Input("delta", tooltip="From AU Delta Builder, AU Sweep or others."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="From Background+Pose Parse: sampling starts from the face and "
                    "changes nothing else. Also for Differential Diffusion.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "positive_out", display_name="positive", tooltip="With the action units."
                ),
                io.Conditioning.Output(
                    "negative_out", display_name="negative", tooltip="Without any."
                ),
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="One for each edit, all with the same noise.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        positive: list[list[Any]],
        negative: list[list[Any]],
        vae: Any,
        identity: EncodedIdentity,
        background: torch.Tensor,
        delta: tuple[AUDelta, ...],
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        from ...magicface_core.editing.rendering import common_count
        from ...magicface_core.pictures.resampling import require_square, sized
        from .conditions import edit_of, latents_of, with_edit
        from .watch import watched

        pictures = to_tensor(background)
        require_square("background", pictures)
        count = common_count(len(identity), len(pictures), len(delta))
        side = identity.latents.shape[-1] * int(vae.spacial_compression_encode())
        latents = intermediate(vae.encode(channels_last(sized(pictures, side))))
        edit = edit_of(identity, latents, delta)
        return io.NodeOutput(
            watched(with_edit(positive, edit)),
            with_edit(negative, edit.without_change()),
            latents_of(identity, count, mask),
        )


class Decode(io.ComfyNode):
    """Pictures of sampled latents, as MagicFace Sampler gives them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_Decode",
            display_name="MagicFace Decode",
            category="MagicFace/sampling",
            description="Turns sampled latents into the picture of MagicFace Sampler, 512 x 512. "
            "With mini the edit is applied to the face itself, so it stays sharp where VAE Decode "
            "is soft; other checkpoints are decoded as usual.",
            search_aliases=["VAE Decode", "latent to image", "native", "KSampler", "sharp"],
            inputs=[
                io.Latent.Input("samples", tooltip="From KSampler or another sampler."),
                types.Identity.Input("identity", tooltip="From ID Encoder."),
                types.Model.Input("model", tooltip="The ID encoder of Load MagicFace (native)."),
            ],
            outputs=[
                io.Image.Output(
                    "edited", display_name="edited", tooltip="The edited face, 512 x 512."
                )
            ],
        )

    @classmethod
    def execute(
        cls, samples: dict[str, torch.Tensor], identity: EncodedIdentity, model: LoadedModel
    ) -> io.NodeOutput:
        from ...magicface_core.editing.rendering import decode_edits

        pictures = decode_edits(model.load_autoencoder(), identity, samples["samples"])
        return io.NodeOutput(intermediate(channels_last(pictures)))


class Sigmas(io.ComfyNode):
    """The steps of MagicFace Sampler for SamplerCustomAdvanced."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_Sigmas",
            display_name="MagicFace Sigmas",
            category="MagicFace/sampling",
            description="The noise levels that MagicFace Sampler steps through, as released, for "
            "SamplerCustom and SamplerCustomAdvanced.",
            search_aliases=["scheduler", "sigmas", "UniPC schedule", "native"],
            inputs=[
                io.Model.Input("model", tooltip="From Load MagicFace (native)."),
                io.Int.Input(
                    "steps",
                    default=0,
                    min=0,
                    max=1000,
                    tooltip="Denoising steps; 0 takes the checkpoint's own number.",
                ),
                io.Combo.Input(
                    "scheduler",
                    options=[CHECKPOINT, *SCHEDULERS],
                    tooltip="Whose noise levels; checkpoint takes the checkpoint's own.",
                ),
            ],
            outputs=[
                io.Sigmas.Output("sigmas", display_name="sigmas", tooltip="Falling noise levels.")
            ],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, steps: int, scheduler: str) -> io.NodeOutput:
        from ...magicface_core.editing.sampling import scheduled
        from ...magicface_core.editing.schedulers import noise_levels
        from .model import native_checkpoint

        chosen = None if scheduler == CHECKPOINT else scheduler
        return io.NodeOutput(
            noise_levels(scheduled(native_checkpoint(model), steps or None, chosen))
        )
