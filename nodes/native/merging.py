"""Merges of a native MODEL with others: with MagicFace they work, with anything else they stop.

ComfyUI merges whatever tensors have the same names, leaves out those of other shapes with a line
in its log, and goes on. Stable Diffusion 1.5 has nearly all the names of the denoiser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...magicface_core.errors import MagicFaceError
from .layout import AU_LAYER

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

PREFIX = "diffusion_model."


def refuse_foreign_merges(patcher: ModelPatcher) -> None:
    """Raise MagicFaceError where another network than a MagicFace denoiser was merged in."""
    merged = merged_shapes(patcher)
    if not merged:
        return
    own = {key: tuple(tensor.shape) for key, tensor in patcher.model.state_dict().items()}
    wrong = [key for key, shape in merged.items() if own.get(key) != shape]
    if wrong or f"{PREFIX}{AU_LAYER}.weight" not in merged:
        raise MagicFaceError(
            "The MODEL was merged with one that is no MagicFace checkpoint of the same size: its "
            "input layer and action units have no counterpart there. Merge MagicFace models only."
        )


def merged_shapes(patcher: ModelPatcher) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that merge nodes mix in, by key; LoRAs are none."""
    found = {}
    for key, patches in patcher.patches.items():
        for strength, content, own_strength, *_ in patches:
            if isinstance(content, list) and (strength != 0 or own_strength != 1):
                found[key] = tuple(content[0][0].shape)
    return found
