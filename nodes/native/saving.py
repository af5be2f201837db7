"""ModelSave writes a native MODEL as a whole MagicFace checkpoint, LoRAs and merges included.

The file goes where ModelSave puts it; moved to models/magicface it is listed like any other. Its
description is a tensor, since ComfyUI writes the metadata itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from ...magicface_core.errors import MagicFaceError
from ...magicface_core.network.described import described_tensors
from .layout import from_native
from .merging import refuse_foreign_merges

if TYPE_CHECKING:
    from .model import MagicFaceNative

OTHER_PARTS = (
    "CheckpointSave writes Stable Diffusion checkpoints, which a MagicFace MODEL is none: use "
    "ModelSave, whose file has all of MagicFace's networks."
)


def tensors_to_save(
    model: MagicFaceNative, denoiser: Mapping[str, Tensor], others: list[Any]
) -> dict[str, Tensor]:
    """The tensors of a merged checkpoint with this denoiser, which has ComfyUI's names.

    Raises MagicFaceError for a merge with another kind of model, and where a text encoder or
    autoencoder is to be saved along.
    """
    if any(other is not None for other in others):
        raise MagicFaceError(OTHER_PARTS)
    if model.current_patcher is not None:
        refuse_foreign_merges(model.current_patcher)
    checkpoint = model.checkpoint
    vae = checkpoint.vae if isinstance(checkpoint.vae, nn.Module) else None
    released = from_native(denoiser, model.model_config.unet_config)
    return described_tensors(checkpoint, released, vae)
