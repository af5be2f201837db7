"""What the denoising UNet is given in one pass, before it is put together."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

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
