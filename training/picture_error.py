"""The error of decoded pictures, for decoders small enough to run in every step.

An extension of the paper's objective, which compares in latent space. Pictures show what latents
hide: that moved skin is as good as painted skin, that edges are sharp, and which action units a
face shows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.network.autoencoder import Autoencoder, PatchAutoencoder
from magicface_core.network.denoiser_inputs import for_rows

from .au_readers import AUReaders
from .data.samples import Batch
from .run_settings import ObjectiveConfig
from .settings import ConfigError

MOTION_WIDTH = 0.05  # patches up to which the error of a movement is quadratic
READING_WIDTH = 1.0  # AU intensities up to which the error of a reading is quadratic


@dataclass(frozen=True)
class Pictures:
    """What a batch shows: identity [R,3,H,W] and target [B,3,H,W] in -1..1.

    tracks are the movements of skin [B,P,5], see `Sample`; mask [B,1,H,W] is 1 where an edit may
    change the picture; exact [B] tells exact edits from other pairs; readers are those of
    `reading_error`.
    """

    vae: Autoencoder
    identity: Tensor
    target: Tensor
    mask: Tensor
    tracks: Tensor | None
    exact: Tensor
    readers: AUReaders | None = None

    @classmethod
    def of(cls, batch: Batch, vae: Autoencoder, readers: AUReaders | None = None) -> Pictures:
        """Those of a batch that has pictures."""
        assert batch.identity is not None and batch.target is not None
        shown = (batch.identity * 2 - 1, batch.target * 2 - 1)
        return cls(vae, *shown, batch.mask, batch.tracks, batch.same_scene, readers)

    def loss(
        self, latents: Tensor, identity: Tensor, weight: Tensor, config: ObjectiveConfig
    ) -> Tensor:
        """Weighted mean error of predicted (scaled) latents; weight [B,1,H,W].

        ``config.edge_weight`` adds that of the differences between neighbouring pixels,
        ``config.motion_weight`` that of movements, and ``config.au_weight`` that of the AU changes
        that readers see.
        """
        edit = decoded(self.vae, latents, self.identity, identity)
        wrong = edit - self.target
        loss = (error_of(wrong, config) * weight).mean()
        if config.edge_weight:
            across = error_of(wrong.diff(dim=-1), config) * weight[..., :, 1:]
            down = error_of(wrong.diff(dim=-2), config) * weight[..., 1:, :]
            loss = loss + config.edge_weight * (across.mean() + down.mean())
        if config.motion_weight:
            loss = loss + config.motion_weight * self.motion_error(latents)
        if config.au_weight:
            loss = loss + config.au_weight * self.reading_error(edit)
        return loss

    def reading_error(self, edit: Tensor) -> Tensor:
        """Mean error, in AU intensities, of what is read in edits [B,3,H,W] and not in the targets.

        The exact pictures are read too, so that the readers' own errors cost nothing.
        """
        if self.tracks is None:
            raise ConfigError(
                "objective.au_weight needs rendered edit sets with points, which tell where the "
                "eyes are; set it to 0, or render them again"
            )
        assert self.readers is not None, "see readers_for"
        identity, target, edited = (each / 2 + 0.5 for each in (self.identity, self.target, edit))
        wanted = self.readers.changes(identity, target, self.tracks)
        wrong = self.readers.changes(identity, edited, self.tracks) - wanted
        error = (wrong.square() + READING_WIDTH**2).sqrt() - READING_WIDTH
        return (error.mean((0, 2)) * self.exact.to(error)).mean()

    def motion_error(self, latents: Tensor) -> Tensor:
        """Mean distance, in patches, from where skin is fetched to where the identity shows it."""
        vae = self.vae
        if not isinstance(vae, PatchAutoencoder) or not vae.config.motion or self.tracks is None:
            raise ConfigError(
                "objective.motion_weight needs an autoencoder that holds movements (--motion) and "
                "rendered edit sets with points; set it to 0, or make both again"
            )
        places, back, seen = self.tracks.split([2, 2, 1], dim=2)
        inside = F.grid_sample(self.mask, places[:, None], mode="nearest", align_corners=False)
        counted = seen[..., 0] * inside[:, 0, 0]
        vectors = vae.vectors(latents / float(vae.config.scaling_factor))
        found = F.grid_sample(vectors, places[:, None], padding_mode="border", align_corners=False)
        wrong = (found[:, :, 0].transpose(1, 2) - back) * latents.shape[-1] / 2
        distance = (wrong.square().sum(2) + MOTION_WIDTH**2).sqrt() - MOTION_WIDTH
        return (distance * counted).sum() / counted.sum().clamp_min(1)


def error_of(difference: Tensor, config: ObjectiveConfig) -> Tensor:
    """Squared, or pseudo-Huber: quadratic up to about ``huber_width``, linear beyond."""
    error = difference.square()
    if config.loss == "huber":
        return config.huber_width * ((error + config.huber_width**2).sqrt() - config.huber_width)
    return error


def decoded(vae: Autoencoder, latents: Tensor, picture: Tensor, identity: Tensor) -> Tensor:
    """Pictures [B,3,H,W] in -1..1 of predicted (scaled) latents [B,C,h,w], as they are pasted.

    picture [R,3,H,W] and identity [R,C,h,w] are the identity image and its latents, NOT scaled; a
    patch autoencoder keeps what the two have in common with the edit (see its ``carry``).
    """
    latents = latents / float(vae.config.scaling_factor)
    if isinstance(vae, PatchAutoencoder):
        picture, identity = (for_rows(each, len(latents)) for each in (picture, identity))
        return vae.carry(picture, latents, identity.to(latents))
    sample: Tensor = vae.decode(latents.to(next(vae.parameters()).dtype)).sample.to(torch.float32)
    return sample
