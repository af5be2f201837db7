"""MagicFace from a picture to the edited picture: crop, parse, encode, sample, decode, paste back.

Differs from the published inference script in what surrounds the model, not in the model: the crop
never has black borders, the largest face is the largest by area, the result is pasted back into
the source, and an all-zero delta returns the source instead of a reconstruction of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..aus import AUDelta
from ..framing.background import Region
from ..framing.preparation import Framing, Prepared, prepare, reduce_to, single_picture
from ..network.precision import as_dtype
from ..pasting.face_only import face_only_mask
from ..pictures.images import ImageInput
from .results import EditResult, pasted, unchanged
from .settings import Settings

if TYPE_CHECKING:
    from ..network import Checkpoint
    from ..perception import Perception
    from .sampling import Callback, Identity


@dataclass(frozen=True)
class Encoded:
    """What the networks computed once for a prepared face and every edit of it reuses.

    identity           reference keys and values of the ID encoder
    background_latents [1,C,h,w]
    """

    identity: Identity
    background_latents: Tensor


class MagicFace:
    """A checkpoint and the perception that prepares pictures for it."""

    def __init__(self, checkpoint: Checkpoint, perception: Perception | None = None) -> None:
        self.checkpoint = checkpoint
        self._perception = perception

    @classmethod
    def load(
        cls,
        folder_or_name: str | Path = "mini",
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
        prompt_embeds: Tensor | None = None,
        vae: Path | None = None,
        perception: Perception | None = None,
    ) -> MagicFace:
        """Load a checkpoint by path, or by name: the embedded "mini", or "official".

        prompt_embeds [1,77,D] and vae (a diffusers folder, or a .safetensors file) stand in for
        what the released folder lacks; perception for `Perception.load()`, the best backends that
        are present. Raises CheckpointError.
        """
        from ..network import load_checkpoint

        checkpoint = load_checkpoint(folder_or_name, device, as_dtype(dtype), prompt_embeds, vae)
        return cls(checkpoint, perception)

    @property
    def perception(self) -> Perception:
        """Faces, masks and action units; loaded on first use."""
        if self._perception is None:
            from ..perception import Perception

            self._perception = Perception.load()
        return self._perception

    def prepare(self, image: ImageInput, face: int = 0, region: Region | None = None) -> Prepared:
        """Crop and parse face number `face` (largest first); reusable for many edits.

        region overrides which pixels the checkpoint asks to blacken ("face" or "person").
        Raises ImageError, NoFaceError or FaceTooSmallError.
        """
        framing = Framing.of(self.checkpoint.info, region)
        return prepare(image, self.perception, framing, face)

    def encode_identity(self, image: ImageInput) -> Identity:
        """Reference features of a face crop: PIL, HxWx3 uint8 or float [B,H,W,3] in 0..1.

        The picture is taken as it is, without looking for a face; one larger than the
        checkpoint's resolution is reduced to it.
        """
        from .sampling import encode_identity

        crop = single_picture(image)
        resolution = self.checkpoint.info.resolution
        if min(crop.shape[-2:]) > resolution:
            crop = reduce_to(crop, resolution)
        return encode_identity(self.checkpoint, crop)

    def encode(self, prepared: Prepared) -> Encoded:
        """Identity and background latents of a prepared face."""
        from .sampling import encode_background, encode_identity

        return Encoded(
            identity=encode_identity(self.checkpoint, prepared.model_input),
            background_latents=encode_background(self.checkpoint, prepared.condition),
        )

    def sample(
        self,
        identity: Identity,
        background_latents: Tensor,
        deltas: Tensor | AUDelta | Sequence[AUDelta],
        steps: int = 10,
        guidance: float = 3.0,
        noise: Tensor | None = None,
        scheduler: str | None = None,
        generator: torch.Generator | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Latents [B,C,h,w] of one identity under B deltas ([B,12] or AUDelta).

        noise [B or 1,C,h,w] is the starting noise; without it, generator draws it.
        """
        from .sampling import sample

        return sample(
            self.checkpoint,
            identity,
            background_latents,
            _delta_rows(deltas),
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            noise=noise,
            generator=generator,
            callback=callback,
        )

    def edit(
        self,
        image: ImageInput,
        delta: AUDelta,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        face: int = 0,
        region: Region | None = None,
        callback: Callback | None = None,
        face_only: bool = False,
    ) -> EditResult:
        """Change the expression of one face and paste it back into the picture.

        delta in AU intensities (target - source); an all-zero delta returns the picture
        unchanged without sampling. face counts from the largest. steps, guidance, scheduler and
        region default to the checkpoint's. face_only pastes the face alone, where a checkpoint
        repaints more than that. Raises ImageError, NoFaceError, FaceTooSmallError.
        """
        settings = Settings(seed, steps, guidance, scheduler)
        return self.edit_many(image, [delta], settings, face, region, callback, face_only)[0]

    def edit_many(
        self,
        image: ImageInput,
        deltas: Iterable[AUDelta],
        settings: Settings | None = None,
        face: int = 0,
        region: Region | None = None,
        callback: Callback | None = None,
        face_only: bool = False,
    ) -> list[EditResult]:
        """Several edits of one face, prepared and encoded once; in the order of `deltas`."""
        start = perf_counter()
        prepared = self.prepare(image, face, region)
        waited = perf_counter() - start
        results = self.edit_prepared(
            prepared, deltas, settings, callback=callback, face_only=face_only
        )
        share = waited / max(len(results), 1)
        return [replace(result, seconds=result.seconds + share) for result in results]

    def edit_prepared(
        self,
        prepared: Prepared,
        deltas: AUDelta | Iterable[AUDelta],
        settings: Settings | None = None,
        *,
        encoded: Encoded | None = None,
        callback: Callback | None = None,
        batch_size: int = 8,
        face_only: bool = False,
    ) -> list[EditResult]:
        """Edit a prepared face; pass `encoded` (from `encode`) to reuse it across calls.

        All deltas start from the same noise, so results differ by the delta alone; batch_size of
        them are sampled together. face_only as in `edit`.
        """
        start = perf_counter()
        wanted = [deltas] if isinstance(deltas, AUDelta) else list(deltas)
        moving = [delta for delta in wanted if not delta.is_zero]
        if moving and encoded is None:
            encoded = self.encode(prepared)
        rendered: list[Tensor] = []
        reference = None
        if encoded is not None and moving:
            settings = settings or Settings()
            for first in range(0, len(moving), batch_size):
                rows = _delta_rows(moving[first : first + batch_size])
                rendered += self._render(encoded, prepared.crop512, rows, settings, callback)
            reference = self._unedited(encoded, prepared.crop512, settings)
        pictures = iter(rendered)
        share = (perf_counter() - start) / max(len(wanted), 1)
        return [
            unchanged(prepared, delta, share)
            if delta.is_zero
            else self._pasted(prepared, next(pictures), reference, delta, share, face_only)
            for delta in wanted
        ]

    def _pasted(
        self,
        prepared: Prepared,
        picture: Tensor,
        reference: Tensor | None,
        delta: AUDelta,
        seconds: float,
        face_only: bool,
    ) -> EditResult:
        """One rendered edit [1,3,R,R] composed with its source."""
        mask = face_only_mask(prepared, picture, self.perception) if face_only else None
        return pasted(prepared, picture, reference, delta, seconds, mask=mask)

    def _render(
        self,
        encoded: Encoded,
        face: Tensor,
        deltas: Tensor,
        settings: Settings,
        callback: Callback | None = None,
    ) -> list[Tensor]:
        """Sample and decode: one picture on the CPU for each delta, see ``shown_edits``."""
        from .carrying import shown_edits
        from .rendering import sample_alike

        latents = sample_alike(
            self.checkpoint,
            encoded.identity,
            encoded.background_latents,
            deltas,
            settings,
            callback=callback,
        )
        return list(shown_edits(self.checkpoint, face, latents, encoded.identity).split(1))

    def _unedited(self, encoded: Encoded, face: Tensor, settings: Settings) -> Tensor | None:
        """The model's rendering [1,3,R,R] of the unedited face, from the same noise as the edits.

        What it shares with an edit, its blur above all, cancels when the edit is pasted. Where
        detail is carried along it is the face itself; None for checkpoints that keep none.
        """
        from .carrying import carries_detail
        from .rendering import no_change

        if not self.checkpoint.info.keep_detail:
            return None
        if carries_detail(self.checkpoint):
            return face
        deltas, unguided = no_change(settings)
        return self._render(encoded, face, deltas, unguided)[0]


def _delta_rows(deltas: Tensor | AUDelta | Sequence[AUDelta]) -> Tensor:
    """Deltas as [B,12] float32."""
    if isinstance(deltas, Tensor):
        return deltas.reshape(-1, deltas.shape[-1])
    if isinstance(deltas, AUDelta):
        deltas = [deltas]
    return torch.stack([delta.to_tensor() for delta in deltas])
