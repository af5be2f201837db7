"""A node that shows where the denoiser looks while it edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from comfy_api.latest import io

from ..magicface_core.pictures.images import channels_last, to_tensor
from .memory import LoadedModel, intermediate, perception
from .previews import preview
from .progress import sampling_progress
from .sampling import CHECKPOINT, edit_inputs, scheduler_input

if TYPE_CHECKING:
    from ..magicface_core.aus import AUDelta
    from ..magicface_core.editing.rendering import EncodedIdentity

EVERY_LAYER = -1


class AttentionMapsNode(io.ComfyNode):
    """Samples an edit as MagicFace Sampler does and draws its attention."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_AttentionMaps",
            display_name="MagicFace Attention Maps",
            category="MagicFace/sampling",
            description="Shows where the denoiser looks while it edits: at its own picture, at the "
            "prompt or at the identity image, step by step, and where points of the face look in "
            "the identity image. The edit is that of MagicFace Sampler with the same settings.",
            search_aliases=["attention", "heat map", "explain edit", "reference attention"],
            inputs=[
                *edit_inputs(),
                io.String.Input(
                    "points",
                    default="",
                    tooltip="Points of the face, as x,y in pixels of 512 x 512 with spaces between "
                    "them: 180,200 256,330. Empty: eyes and mouth corners.",
                ),
                scheduler_input(),
                io.Int.Input(
                    "layer",
                    default=EVERY_LAYER,
                    min=EVERY_LAYER,
                    max=99,
                    tooltip="One transformer block of the denoiser, from 0 in the order of "
                    "execution; -1 is the mean of all.",
                    advanced=True,
                ),
                io.Int.Input(
                    "tile",
                    default=240,
                    min=64,
                    max=1024,
                    step=8,
                    tooltip="Pixels of one map on the sheet.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    "sheet", display_name="sheet", tooltip="A labelled sheet for each frame."
                ),
                io.Image.Output(
                    "edited", display_name="edited", tooltip="The edited face, 512 x 512."
                ),
                io.Mask.Output(
                    "reference",
                    display_name="reference attention",
                    tooltip="Share of attention on the identity image, 0 to 1, the mean of all "
                    "steps, 512 x 512.",
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
        points: str,
        scheduler: str,
        layer: int,
        tile: int,
    ) -> io.NodeOutput:
        from ..magicface_core.attention.frames import attention_frames
        from ..magicface_core.editing.rendering import RenderOptions

        options = RenderOptions(
            seed=seed,
            steps=steps or None,
            guidance=guidance,
            scheduler=None if scheduler == CHECKPOINT else scheduler,
        )
        checkpoint = model.load_sampling_networks(batch_size=1)
        found = attention_frames(
            checkpoint,
            identity,
            to_tensor(background),
            delta,
            perception(),
            options,
            points=points,
            layer=None if layer == EVERY_LAYER else layer,
            tile=tile,
            callback=sampling_progress(checkpoint),
        )
        sheets = channels_last(found.sheets)
        return io.NodeOutput(
            intermediate(sheets),
            intermediate(channels_last(found.edited)),
            intermediate(found.reference[:, 0]),
            ui=preview(sheets, cls),
        )
