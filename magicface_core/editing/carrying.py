"""Detail that moves with the edit.

Small checkpoints work at few pixels. Where their autoencoder holds movements (see
``PatchAutoencoder``) and their latents are relative to the identity image's, the edit itself can be
applied to the picture at full resolution: what the latents cannot hold is moved along instead of
being painted anew, and stays sharp.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..network.autoencoder import NetworkCodec, PatchAutoencoder
from ..network.denoiser_inputs import for_rows
from .sampling import decode

if TYPE_CHECKING:
    from ..network import Checkpoint
    from .identity import EncodedIdentity
    from .sampling import Identity


def carries_detail(checkpoint: Checkpoint) -> bool:
    """Whether edits of this checkpoint are applied to the picture itself."""
    info = checkpoint.info
    return info.keep_detail and info.identity_skip and isinstance(checkpoint.vae, PatchAutoencoder)


@torch.no_grad()
def apply_edit(
    checkpoint: Checkpoint,
    picture: Tensor,
    latents: Tensor,
    identity: Identity | EncodedIdentity,
) -> Tensor:
    """Pictures [B,3,S,S] float32 in 0..1 of sampled (scaled) latents [B,C,h,w].

    picture [R,3,S,S] in 0..1, at any resolution, is what ``identity`` was made of; row b belongs to
    picture b mod R. The checkpoint is one that `carries_detail`.
    """
    codec = checkpoint.codec
    assert isinstance(codec, NetworkCodec)
    assert isinstance(codec.vae, PatchAutoencoder)
    wanted = codec.placed(latents / codec.scaling_factor)
    faces, unedited = (
        for_rows(codec.placed(each), len(latents)) for each in (picture, identity.latents)
    )
    edited: Tensor = codec.vae.carry(faces * 2 - 1, wanted, unedited)
    return (edited.float() / 2 + 0.5).clamp(0, 1)


def shown_edits(
    checkpoint: Checkpoint, picture: Tensor, latents: Tensor, identity: Identity
) -> Tensor:
    """Pictures in 0..1, on the CPU, of sampled (scaled) latents [B,C,h,w].

    The edits of ``picture`` itself at its size, where the checkpoint `carries_detail`; else what
    its autoencoder decodes, [B,3,R,R].
    """
    if carries_detail(checkpoint):
        return apply_edit(checkpoint, picture, latents, identity).cpu()
    return decode(checkpoint, latents).float().cpu()
