"""Pictures of sampled latents: the last part of an edit, alone.

For latents that other samplers than this package's have made, or that changed on the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ImageError
from ..framing.preparation import WORKING_SIZE
from .carrying import apply_edit, carries_detail
from .identity import EncodedIdentity, require_own, sized

if TYPE_CHECKING:
    from ..network import Checkpoint


@torch.no_grad()
def decode_edits(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    latents: Tensor,
    batch_size: int = 1,
    keep_detail: bool | None = None,
) -> Tensor:
    """Pictures [N,3,512,512] float32 in 0..1, on the CPU, of edited latents [N,C,h,w].

    The latents are WITHOUT the scaling factor, as ComfyUI's LATENT is; the identity has 1 row or
    N. A checkpoint that carries detail (see ``carrying.py``) edits the identity's own pictures,
    unless ``keep_detail`` is False; any other decodes ``batch_size`` latents at a time.

    Raises:
        ImageError: latents of another shape, or a number of them that does not fit.
        MagicFaceError: an identity of another checkpoint.
    """
    require_own(checkpoint, identity, "MagicFace Decode")
    _check_latents(checkpoint, latents, len(identity))
    if carries_detail(checkpoint) and keep_detail is not False:
        return _carried(checkpoint, identity, latents)
    parts = [decoded(checkpoint, part) for part in latents.float().split(batch_size)]
    return torch.cat(parts).clamp(0, 1)


def decoded(checkpoint: Checkpoint, latents: Tensor) -> Tensor:
    """Pictures [B,3,512,512] on the CPU, of latents [B,C,h,w] without the scaling factor."""
    return sized(checkpoint.codec.decode_pictures(latents).float().cpu(), WORKING_SIZE)


def _carried(checkpoint: Checkpoint, identity: EncodedIdentity, latents: Tensor) -> Tensor:
    """The edits of the faces themselves, one at a time: they are larger than the latents' own."""
    faces = sized(identity.picture.float().cpu(), WORKING_SIZE).clamp(0, 1)
    scaled = latents.float() * checkpoint.codec.scaling_factor
    parts = []
    for n, edited in enumerate(scaled.split(1)):
        face = n % len(identity)
        own = identity.rows([face])
        parts.append(apply_edit(checkpoint, faces[face : face + 1], edited, own).cpu())
    return torch.cat(parts)


def _check_latents(checkpoint: Checkpoint, latents: Tensor, identities: int) -> None:
    shape, channels, size = list(latents.shape), checkpoint.latent_channels, checkpoint.latent_size
    if shape[1:] != [channels, size, size]:
        raise ImageError(
            f"These latents are {shape}, this checkpoint decodes [N, {channels}, {size}, {size}]: "
            "connect those of its own MODEL, or take VAE Decode for another size."
        )
    if not len(latents) or identities not in (1, len(latents)):
        raise ImageError(
            f"{identities} identities and {len(latents)} latents do not go together: give one "
            "identity, or one for each of the latents."
        )
