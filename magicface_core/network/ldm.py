"""Keys of autoencoders in Stable Diffusion's original layout (CompVis' latent diffusion).

Single-file checkpoints have them under ``first_stage_model.``, files of the autoencoder alone
without a prefix. The layers are the same as diffusers'; what differs is their names, that the
decoder's levels are counted from the finest instead of the coarsest, and that the four linear
layers of the middle's attention are 1x1 convolutions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

CHECKPOINT_PREFIX = "first_stage_model."
AUTOENCODER_GROUPS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")
"""What the keys of an autoencoder begin with, in either layout."""

Table = tuple[tuple[str, str], ...]
_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}


def is_ldm(keys: Iterable[str]) -> bool:
    """Whether an autoencoder's keys, without prefix, are in the original layout."""
    return any(key.startswith("encoder.down.") for key in keys)


def key_table(keys: Iterable[str]) -> Table:
    """Pairs (original name, diffusers' name) of all layers whose names differ.

    ``keys`` are an autoencoder's in the original layout, without prefix; they tell how many levels
    it has and how many residual blocks each.
    """
    levels, blocks = set(), set()
    for key in keys:
        words = key.split(".")
        if words[:2] == ["encoder", "down"] and len(words) > 4:
            levels.add(words[2])
            if words[3] == "block":
                blocks.add(words[4])
    return layer_table(len(levels), len(blocks))


def layer_table(levels: int, blocks: int) -> Table:
    """``key_table`` of an encoder with so many levels of so many residual blocks."""
    return (*_middle("encoder"), *_middle("decoder"), *_levels(levels, blocks))


def from_ldm(tensors: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Original keys -> diffusers' keys; values are tensors or their shapes."""
    renamed = {_renamed(key, table): value for key, value in tensors.items()}
    return {k: _linear(v) if ".attentions." in k else v for k, v in renamed.items()}


def to_ldm(tensors: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """diffusers' keys -> original keys; values stay as they are."""
    reverse = tuple((new, old) for old, new in table)
    return {_renamed(key, reverse): value for key, value in tensors.items()}


def _middle(side: str) -> Iterator[tuple[str, str]]:
    yield f"{side}.norm_out", f"{side}.conv_norm_out"
    for number in (1, 2):
        yield f"{side}.mid.block_{number}", f"{side}.mid_block.resnets.{number - 1}"
    for old, new in _ATTENTION.items():
        yield f"{side}.mid.attn_1.{old}", f"{side}.mid_block.attentions.0.{new}"


def _levels(levels: int, blocks: int) -> Iterator[tuple[str, str]]:
    """The decoder has one block more per level, and its levels in the opposite order."""
    for level in range(levels):
        old, new = f"encoder.down.{level}", f"encoder.down_blocks.{level}"
        yield from _blocks(old, new, blocks)
        yield f"{old}.downsample.conv", f"{new}.downsamplers.0.conv"
        old, new = f"decoder.up.{levels - 1 - level}", f"decoder.up_blocks.{level}"
        yield from _blocks(old, new, blocks + 1)
        yield f"{old}.upsample.conv", f"{new}.upsamplers.0.conv"


def _blocks(old: str, new: str, count: int) -> Iterator[tuple[str, str]]:
    for block in range(count):
        yield f"{old}.block.{block}.nin_shortcut", f"{new}.resnets.{block}.conv_shortcut"
        yield f"{old}.block.{block}", f"{new}.resnets.{block}"


def _renamed(key: str, table: Table) -> str:
    for old, new in table:
        if key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key


def _linear(value: Any) -> Any:
    """The weight of a 1x1 convolution, or its shape, as that of a linear layer."""
    shape = tuple(value.shape) if isinstance(value, Tensor) else value
    if shape[2:] != (1, 1):
        return value
    return value[..., 0, 0] if isinstance(value, Tensor) else shape[:2]
