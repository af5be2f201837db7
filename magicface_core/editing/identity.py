"""Who faces show: the ID encoder's features, computed once and used by every edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ImageError, MagicFaceError
from ..framing.preparation import enlarge_to, reduce_to
from .sampling import Identity, encode_picture, seen

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
    require_square("face", pictures, "Face Crop")
    parts = []
    for picture in pictures.split(batch_size):
        face = sized(picture, checkpoint.info.resolution)
        latents = encode_picture(checkpoint, face)
        features = checkpoint.identity_path.features(
            checkpoint.id_encoder, seen(checkpoint, face, latents), checkpoint.prompt()
        )
        parts.append([part.cpu() for part in (latents, *features)])
    latents, *features = (torch.cat(part) for part in zip(*parts, strict=True))
    return EncodedIdentity(pictures.float().cpu(), tuple(features), latents, checkpoint.fingerprint)


def as_seen(checkpoint: Checkpoint, identity: EncodedIdentity) -> Identity:
    """What the denoiser takes of the identity: keys and values of its own layers."""
    device, dtype = checkpoint.device, checkpoint.dtype
    features = [feature.to(device, dtype) for feature in identity.features]
    reference = checkpoint.identity_path.project(checkpoint.denoiser, features)
    return Identity(reference, identity.latents.to(device, dtype))


def require_square(name: str, pictures: Tensor, source: str) -> None:
    """Raise ImageError unless [B,3,S,S]; `source` is the step that makes such pictures."""
    if pictures.ndim != 4 or pictures.shape[1] != 3 or 0 in pictures.shape:
        raise ImageError(f"The {name} is [B, 3, S, S], not {list(pictures.shape)}.")
    height, width = pictures.shape[-2:]
    if height != width:
        raise ImageError(
            f"The {name} picture is {width} x {height}, not square: take it from {source}."
        )


def require_own(
    checkpoint: Checkpoint, identity: EncodedIdentity, user: str = "MagicFace Sampler"
) -> None:
    """Raise for an identity that another checkpoint encoded; `user` is the step that needs it."""
    size = checkpoint.latent_size
    shape = (checkpoint.latent_channels, size, size)
    known = {checkpoint.fingerprint, identity.fingerprint} - {""}
    fits = checkpoint.identity_path.fits(checkpoint.denoiser, identity.features)
    if len(known) > 1 or not fits or tuple(identity.latents.shape[1:]) != shape:
        raise MagicFaceError(
            "The identity was encoded by another checkpoint than the one that samples: "
            f"connect the same model to ID Encoder and {user}."
        )


def sized(pictures: Tensor, size: int) -> Tensor:
    """Square pictures at another side: averaged where they shrink, bicubic where they grow."""
    if pictures.shape[-1] >= size:
        return reduce_to(pictures, size)
    return enlarge_to(pictures, size).clamp(0, 1)
