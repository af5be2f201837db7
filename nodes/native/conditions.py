"""What an edit adds to ComfyUI's CONDITIONING, made by MagicFace Conditioning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...magicface_core.errors import ImageError, MagicFaceError

if TYPE_CHECKING:
    from ...magicface_core.aus import AUDelta
    from ...magicface_core.editing.rendering import EncodedIdentity
    from ...magicface_core.network import Checkpoint

KEY = "magicface"
Conditioning = list[list[Any]]


@dataclass(frozen=True)
class Edit:
    """The conditions of the denoiser besides the prompt, each with one row or as many as edits.

    background   [.,C,h,w] latents, posterior mode without the scaling factor
    delta        [.,12] AU differences; all zeros is the null AU of guidance
    features     for each transformer block [.,N_i,C_i], see ``EncodedIdentity``
    identity     [.,C,h,w] latents of the identity image, likewise not scaled
    fingerprint  of the checkpoint that encoded the identity
    """

    background: Tensor
    delta: Tensor
    features: tuple[Tensor, ...]
    identity: Tensor
    fingerprint: str = ""

    def without_change(self) -> Edit:
        """The same with the null AU, for the negative conditioning."""
        return replace(self, delta=torch.zeros_like(self.delta[:1]))

    def check(self, checkpoint: Checkpoint, batch: int) -> None:
        """Raise MagicFaceError unless it fits a checkpoint and a batch of latents."""
        known = {checkpoint.fingerprint, self.fingerprint} - {""}
        if len(known) > 1 or not checkpoint.identity_path.fits(checkpoint.denoiser, self.features):
            raise MagicFaceError(
                "The identity was encoded by another checkpoint than this MODEL: connect ID "
                "Encoder to the same Load MagicFace (native)."
            )
        if self.background.shape[1] != checkpoint.latent_channels:
            raise MagicFaceError(
                f"The background's latents have {self.background.shape[1]} channels, this MODEL "
                f"needs {checkpoint.latent_channels}: connect the VAE of Load MagicFace (native)."
            )
        rows = max(len(self.background), len(self.delta), len(self.features[0]))
        if batch % rows:
            raise MagicFaceError(
                f"The conditioning holds {rows} edits, but the batch has {batch} latents: connect "
                "the latent of MagicFace Conditioning."
            )


def edit_of(identity: EncodedIdentity, background: Tensor, deltas: Sequence[AUDelta]) -> Edit:
    """The conditions of edits with these deltas."""
    delta = torch.stack([delta.to_tensor() for delta in deltas])
    return Edit(background, delta, identity.features, identity.latents, identity.fingerprint)


def with_edit(conditioning: Conditioning, edit: Edit) -> Conditioning:
    """A CONDITIONING with the conditions of an edit in each of its entries."""
    return [[prompt, {**values, KEY: edit}] for prompt, values in conditioning]


def latents_of(identity: EncodedIdentity, count: int, mask: Tensor | None) -> dict[str, Any]:
    """ComfyUI's LATENT to sample ``count`` edits from, all with the same noise.

    Empty latents, as MagicFace Sampler starts; with a mask [.,H,W] the face's own, of which only
    the masked part changes.
    """
    faces = identity.latents.float()
    if mask is None:
        faces = torch.zeros_like(faces)
    if len(faces) == 1:
        faces = faces.expand(count, -1, -1, -1).clone()
    latent: dict[str, Any] = {"samples": faces, "batch_index": [0] * count}
    if mask is not None:
        if len(mask) not in (1, count):
            raise ImageError(
                f"{len(mask)} masks do not go with {count} edits: give one, or one for each."
            )
        latent["noise_mask"] = mask.reshape(-1, 1, *mask.shape[-2:])
    return latent
