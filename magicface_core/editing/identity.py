"""Who faces show: the ID encoder's features, computed once and used by every edit.

Deviation from the released code: the identity image is encoded once for both guidance halves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import MagicFaceError
from ..network.denoiser_inputs import IdentityInput
from ..pictures.resampling import require_square, sized

if TYPE_CHECKING:
    from ..network import Checkpoint


@dataclass(frozen=True)
class EncodedIdentity:
    """Who R pictures show, as one checkpoint's ID encoder sees them; no action unit enters.

    picture      [R,3,S,S] float32 0..1, the faces as given
    features     for each transformer block [R,N_i,C_i]: the ID encoder's tokens before ``norm1``;
                 for other kinds of checkpoints see ``network/identity_paths.py``
    latents      [R,C,h,w], posterior mode without the scaling factor
    fingerprint  the checkpoint's
    """

    picture: Tensor
    features: tuple[Tensor, ...]
    latents: Tensor
    fingerprint: str = ""

    def __len__(self) -> int:
        return len(self.picture)

    def to(self, device: torch.device | str) -> EncodedIdentity:
        """The same on another device."""
        return self._mapped(lambda tensor: tensor.to(device))

    def rows(self, indices: Sequence[int]) -> EncodedIdentity:
        """The identities of these numbers, in this order."""
        chosen = list(indices)
        return self._mapped(lambda tensor: tensor[chosen])

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> EncodedIdentity:
        features = tuple(change(feature) for feature in self.features)
        picture, latents = change(self.picture), change(self.latents)
        return EncodedIdentity(picture, features, latents, self.fingerprint)


@torch.no_grad()
def encode_identities(
    checkpoint: Checkpoint, pictures: Tensor, batch_size: int = 4
) -> EncodedIdentity:
    """Encode square face crops [R,3,S,S] in 0..1, any size; the result lies on the CPU.

    Raises ImageError for pictures that are no square crops.
    """
    require_square("face", pictures)
    path = checkpoint.identity_path
    parts = []
    for picture in pictures.split(batch_size):
        face = sized(picture, checkpoint.info.resolution)
        latents = encode_picture(checkpoint, face)
        read = face.to(latents) * 2 - 1 if path.reads_pictures else latents
        features = path.features(checkpoint.id_encoder, read, checkpoint.prompt())
        parts.append([part.cpu() for part in (latents, *features)])
    latents, *features = (torch.cat(part) for part in zip(*parts, strict=True))
    return EncodedIdentity(pictures.float().cpu(), tuple(features), latents, checkpoint.fingerprint)


@dataclass(frozen=True)
class ProjectedIdentity:
    """The identity as the denoiser's own layers take it, shared by all steps and guidance halves.

    reference  keys and values; other kinds of ``magicface.json`` have a tensor
    latents    [R,C,h,w], posterior mode without the scaling factor
    """

    reference: IdentityInput
    latents: Tensor


@torch.no_grad()
def project_identity(checkpoint: Checkpoint, identity: EncodedIdentity) -> ProjectedIdentity:
    """Keys and values that the denoiser's own layers make of the identity's features."""
    device, dtype = checkpoint.device, checkpoint.dtype
    features = [feature.to(device, dtype) for feature in identity.features]
    reference = checkpoint.identity_path.project(checkpoint.denoiser, features)
    return ProjectedIdentity(reference, identity.latents.to(device, dtype))


@torch.no_grad()
def encode_picture(checkpoint: Checkpoint, picture: Tensor) -> Tensor:
    """Posterior mode [B,C,h,w], not scaled, of pictures [B,3,H,W] in 0..1, placed for the UNets."""
    latents = checkpoint.codec.encode_pictures(picture)
    return latents.to(checkpoint.device, checkpoint.dtype)


def require_own(checkpoint: Checkpoint, identity: EncodedIdentity) -> None:
    """Raise MagicFaceError for an identity that another checkpoint encoded."""
    size = checkpoint.latent_size
    shape = (checkpoint.latent_channels, size, size)
    known = {checkpoint.fingerprint, identity.fingerprint} - {""}
    fits = checkpoint.identity_path.fits(checkpoint.denoiser, identity.features)
    if len(known) > 1 or not fits or tuple(identity.latents.shape[1:]) != shape:
        raise MagicFaceError(
            "The identity was encoded by another checkpoint than the one that samples: "
            "encode it with the same model."
        )
