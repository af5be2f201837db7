"""Reference attention inside ComfyUI's UNet, beside what other nodes do to its self-attention.

ComfyUI calls patches with normalised tokens before a self-attention layer projects them, and
replacements in place of the layer's attention. The reference's tokens are normalised by the same
layer and appended last, so that LoRAs and weights that stay on the CPU count for them too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor, nn

from ...magicface_core.errors import MagicFaceError
from ...magicface_core.network.reference_attention import attend, join, slopes_of_heads

BlockName: TypeAlias = tuple[str, int]
Replacement: TypeAlias = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]

SELF_ATTENTION_GUIDANCE = "nodes_sag"  # the module, which ComfyUI names by its path
REMOVE = "Remove that node, or edit with MagicFace Sampler."


def with_reference(
    options: Mapping[str, Any],
    blocks: Sequence[tuple[BlockName, nn.Module]],
    features: Sequence[Tensor],
    locality: Sequence[float],
) -> dict[str, Any]:
    """ComfyUI's transformer options, with the reference's tokens in every self-attention layer.

    Args:
        options: as a sampler passes them on; not changed.
        blocks: names and modules of the transformer blocks in the order of execution.
        features: the ID encoder's tokens before ``norm1`` for each block, [B,N_i,C_i].
        locality: the checkpoint's.

    Raises MagicFaceError for a replacement that cannot work with a reference.
    """
    norms = [block.get_submodule("norm1") for _, block in blocks]
    patches = dict(options.get("patches", {}))
    patches["attn1_patch"] = [
        *patches.get("attn1_patch", []),
        ReferenceTokens(norms, features, bool(locality)),
    ]
    replaced = dict(options.get("patches_replace", {}))
    replaced["attn1"] = _replacements(dict(replaced.get("attn1", {})), blocks, locality)
    return {**options, "patches": patches, "patches_replace": replaced}


@dataclass(frozen=True)
class ReferenceTokens:
    """The patch that appends the reference's tokens to what a layer attends to."""

    norms: Sequence[nn.Module]
    features: Sequence[Tensor]
    local: bool  # tokens must form the grid that the penalty counts on

    def __call__(
        self, tokens: Tensor, context: Tensor, value: Tensor, extra: Mapping[str, Any]
    ) -> tuple[Tensor, Tensor, Tensor]:
        index = extra["transformer_index"]
        if len(tokens) != len(context):
            raise MagicFaceError(
                "Another node cuts the picture into tiles (HyperTile), each of which would see a "
                f"part of the identity only. {REMOVE}"
            )
        reference = self.norms[index](self.features[index].to(tokens))
        if self.local and not tokens.shape[1] == context.shape[1] == reference.shape[1]:
            raise MagicFaceError(
                f"This checkpoint attends by places, so that all {reference.shape[1]} of them are "
                f"needed, but {tokens.shape[1]} were left: no areas, other latent sizes or merged "
                f"tokens (Token Merging) with it. {REMOVE}"
            )
        return tokens, join(context, reference), join(value, reference)


@dataclass(frozen=True)
class LocalAttention:
    """The replacement for checkpoints whose attention prefers near places."""

    locality: Sequence[float]

    def __call__(
        self, query: Tensor, key: Tensor, value: Tensor, extra: Mapping[str, Any]
    ) -> Tensor:
        heads = extra["n_heads"]
        return attend(query, key, value, heads, slopes_of_heads(self.locality, heads))


@dataclass(frozen=True)
class ForeignAttention:
    """A replacement that another node made, which knows of no reference.

    Perturbed-attention guidance returns the values in place of attention: those of the own tokens
    come first. Whatever else attends gets own and reference tokens, and must answer for its own.
    """

    replacement: Replacement
    local: bool

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, extra: dict[str, Any]) -> Tensor:
        attended = self.replacement(query, key, value, extra)
        if attended is value:
            return value[:, : query.shape[1]]
        if self.local or attended.shape != query.shape:
            raise MagicFaceError(
                f"{_origin(self.replacement)} replaces the self-attention, where this checkpoint "
                f"has its own kind. {REMOVE}"
            )
        return attended


def _replacements(
    present: dict[Any, Replacement],
    blocks: Sequence[tuple[BlockName, nn.Module]],
    locality: Sequence[float],
) -> dict[Any, Replacement]:
    """Others' replacements made safe, and our own in the layers that are left."""
    for replacement in present.values():
        if _origin(replacement) == SELF_ATTENTION_GUIDANCE:
            raise MagicFaceError(
                "Self-Attention Guidance reads the attention of the picture to itself, which here "
                f"goes to the identity as well. {REMOVE}"
            )
    found: dict[Any, Replacement] = {
        name: ForeignAttention(replacement, bool(locality)) for name, replacement in present.items()
    }
    if locality:
        for name, _ in blocks:
            if name not in found and (*name, 0) not in found:
                found[name] = LocalAttention(locality)
    return found


def _origin(replacement: Replacement) -> str:
    """The module that a replacement comes from, without the folders before it."""
    module = str(getattr(replacement, "__module__", "another node"))
    return re.split(r"[./\\]", module)[-1]
