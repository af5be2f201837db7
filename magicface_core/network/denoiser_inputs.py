"""What the denoising UNet is given in one pass, before it is put together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .reference_attention import Reference

IdentityInput = Reference | Tensor
"""What a denoiser takes of R identity images: keys and values, or one tensor [R, ...]."""


@dataclass(frozen=True)
class DenoiserInputs:
    """One pass of B rows.

    noisy      [B,C,h,w]
    maps       joined to the noisy latents: the background + pose condition [B,C',h,w] first
    tokens     [B,N,D] for the cross-attention: the prompt first
    labels     [B,L] for the layer beside the time embedding; None where there is no such layer
    reference  keys and values for the self-attention
    """

    noisy: Tensor
    maps: tuple[Tensor, ...]
    tokens: Tensor
    labels: Tensor | None
    reference: Reference | None = None


def for_rows(identities: Tensor, batch: int) -> Tensor:
    """[R, ...] repeated to ``batch`` rows; row b has identity b mod R."""
    repeats, rest = divmod(batch, len(identities))
    if rest:
        raise ValueError(f"a batch of {batch} cannot share {len(identities)} identities evenly")
    return identities.repeat(repeats, *[1] * (identities.ndim - 1))


def add_identity(prediction: Tensor, identity: Tensor, scaling_factor: float = 1.0) -> Tensor:
    """Clean latents [B,C,h,w] of a predicted change and identity latents [R,C,h,w].

    Row b has identity b mod R. The prediction is scaled; identity latents are not, unless
    ``scaling_factor`` is left at 1.
    """
    return prediction + scaling_factor * for_rows(identity.to(prediction), len(prediction))


def check_identity_skip(skip: bool, identity: str, scheduler_config: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a skip makes no sense.

    It is a sum of clean latents, so the denoiser must predict these, of an identity that it sees as
    latents.
    """
    kind = scheduler_config.get("prediction_type", "epsilon")
    if skip and (kind != "sample" or identity == "image-encoder"):
        raise CheckpointError(
            f"identity_skip goes with prediction_type 'sample' and an identity seen as latents, "
            f"not with {kind!r} and {identity!r}: set identity_skip to false"
        )
