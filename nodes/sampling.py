"""The two nodes that run the networks: who it is, and the edit itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io

from ..magicface_core.editing.schedulers import SCHEDULERS
from ..magicface_core.pictures.images import channels_last, to_tensor
from . import types
from .memory import LoadedModel, intermediate, intermediate_identity
from .progress import sampling_progress

if TYPE_CHECKING:
    from ..magicface_core.aus import AUDelta
    from ..magicface_core.editing.rendering import EncodedIdentity

CHECKPOINT = "checkpoint"  # as the checkpoint says


def edit_inputs() -> list[io.Input]:
    """What every node takes that samples an edit."""
    return [
        types.Model.Input("model", tooltip="From Load MagicFace Model."),
        types.Identity.Input("identity", tooltip="From ID Encoder."),
        io.Image.Input("background", tooltip="From Background+Pose Parse."),
        types.Delta.Input("delta", tooltip="From AU Delta Builder, AU Sweep or others."),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=0xFFFFFFFFFFFFFFFF,
            control_after_generate=True,
            tooltip="Decides the starting noise, the same for all frames.",
        ),
        io.Int.Input(
            "steps",
            default=0,
            min=0,
            max=1000,
            tooltip="Denoising steps; 0 takes the checkpoint's own number.",
        ),
        io.Float.Input(
            "guidance",
            display_name="AU guidance",
            default=1.5,
            min=0.0,
            max=20.0,
            step=0.1,
            round=0.01,
            tooltip="How strongly the edit follows the action units (the paper's alpha): "
            "1 is plain, 1.5 as released, above 5 degrades.",
        ),
    ]


def scheduler_input() -> io.Input:
    """How the noise is removed."""
    return io.Combo.Input(
        "scheduler",
        options=[CHECKPOINT, *SCHEDULERS],
        tooltip="How the noise is removed; checkpoint takes the checkpoint's own.",
        advanced=True,
    )


class IDEncoder(io.ComfyNode):
    """Reads who it is, once; every edit of the face reuses it."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_IDEncoder",
            display_name="ID Encoder",
            category="MagicFace/sampling",
            description="Computes the identity features that keep the person the same. They do "
            "not depend on the expression: moving a slider does not run this again.",
            search_aliases=["identity", "reference features", "face embedding"],
            inputs=[
                types.Model.Input("model", tooltip="From Load MagicFace Model."),
                io.Image.Input("face_image", tooltip="From Face Crop."),
            ],
            outputs=[
                types.Identity.Output(
                    "identity",
                    display_name="identity",
                    tooltip="Identity features, for the sampler.",
                ),
            ],
        )

    @classmethod
    def execute(cls, model: LoadedModel, face_image: torch.Tensor) -> io.NodeOutput:
        from ..magicface_core.editing.rendering import encode_identities

        checkpoint = model.load_identity_networks()
        identity = encode_identities(checkpoint, to_tensor(face_image))
        return io.NodeOutput(intermediate_identity(identity))


class Sampler(io.ComfyNode):
    """Edits the expression: denoising with guidance along the action units."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_Sampler",
            display_name="MagicFace Sampler",
            category="MagicFace/sampling",
            description="Edits the expression. One face with many deltas gives an animation or a "
            "sweep; many frames with one delta give an edited video.",
            search_aliases=["expression edit", "MagicFace", "denoise face", "smile"],
            inputs=[
                *edit_inputs(),
                scheduler_input(),
                io.Boolean.Input(
                    "render_zero",
                    display_name="render zero delta",
                    default=False,
                    tooltip="Off: a delta of all zeros returns the face itself. On: it is drawn "
                    "like any other, for animations without a jump.",
                    advanced=True,
                ),
                io.Int.Input(
                    "batch_size",
                    default=4,
                    min=1,
                    max=64,
                    tooltip="How many frames are sampled together; lower it to save memory.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    "edited", display_name="edited", tooltip="The edited face, 512 x 512."
                ),
                io.Latent.Output(
                    "latent",
                    display_name="latent",
                    tooltip="The sampled latents of the checkpoint.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: LoadedModel,
        identity: EncodedIdentity,
        background: torch.Tensor,
        delta: tuple[AUDelta, ...],
        seed: int,
        steps: int,
        guidance: float,
        scheduler: str,
        render_zero: bool,
        batch_size: int,
    ) -> io.NodeOutput:
        from ..magicface_core.editing.rendering import RenderOptions, render

        options = RenderOptions(
            seed=seed,
            steps=steps or None,
            guidance=guidance,
            scheduler=None if scheduler == CHECKPOINT else scheduler,
            render_zero=render_zero,
            batch_size=batch_size,
        )
        checkpoint = model.load_sampling_networks(batch_size)
        rendered = render(
            checkpoint,
            identity,
            to_tensor(background),
            delta,
            options,
            callback=sampling_progress(checkpoint),
        )
        return io.NodeOutput(
            intermediate(channels_last(rendered.pictures)),
            {"samples": intermediate(rendered.latents)},
        )
