"""Load a MagicFace checkpoint."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from . import types
from .files import EMBEDDED, checkpoint_choices, checkpoint_fingerprint, missing_checkpoint
from .memory import DTYPES, load_model

AUTO = "auto"


class LoadModel(io.ComfyNode):
    """Puts a checkpoint under ComfyUI's memory manager; nothing is downloaded."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_LoadModel",
            display_name="Load MagicFace Model",
            category="MagicFace/model",
            description="Loads the small embedded checkpoint, the authors' or your own from "
            "models/magicface. Nothing is downloaded.",
            search_aliases=["MagicFace loader", "checkpoint", "load model"],
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
                    options=[AUTO, *DTYPES],
                    tooltip="Precision of the weights; auto lets ComfyUI decide.",
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
                    "fixed prompt's embedding.",
                ),
            ],
            outputs=[
                types.Model.Output("model", display_name="model", tooltip="The checkpoint."),
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
        return io.NodeOutput(load_model(checkpoint, dtype, vae, clip))
