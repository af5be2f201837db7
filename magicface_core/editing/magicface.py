"""MagicFace from a picture to the edited picture: crop, parse, encode, sample, decode, paste back.

Differs from the published inference script in what surrounds the model, not in the model: the crop
never has black borders, the largest face is the largest by area, the result is pasted back into
the source, and an all-zero delta returns the source instead of a reconstruction of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..aus import AUDelta
from ..framing.framing import Framing
from ..framing.preparation import Prepared, prepare
from ..network.precision import as_dtype
from ..pasting.face_only import face_only_mask
from ..perception.regions import Region
from ..pictures.images import ImageInput
from .results import EditResult, pasted, unchanged
from .settings import RenderOptions, Settings

if TYPE_CHECKING:
    from ..network import Checkpoint
    from ..perception import Perception
    from .identity import EncodedIdentity
    from .rendering import RenderCallback


@dataclass(frozen=True)
class Encoded:
    """What the networks computed once for a prepared face and every edit of it reuses.

    identity    who the face shows
    conditions  [1,C',h,w], the background + pose picture as the denoiser takes it
    """

    identity: EncodedIdentity
    conditions: Tensor


class MagicFace:
    """A checkpoint and the perception that prepares pictures for it.

    An edit is crop, background, identity, sample, show, paste: `prepare` does the first two,
    `encode` the third, `render` the next two, and `pasted` the last. A graph of nodes calls the
    same functions, and gets the same pixels.
    """

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

    def encode(self, prepared: Prepared) -> Encoded:
        """Identity and background of a prepared face, for any number of edits."""
        from .rendering import encode_backgrounds, encode_identities

        return Encoded(
            encode_identities(self.checkpoint, prepared.crop512),
            encode_backgrounds(self.checkpoint, prepared.background.picture),
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
        callback: RenderCallback | None = None,
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
        callback: RenderCallback | None = None,
        face_only: bool = False,
    ) -> list[EditResult]:
        """Several edits of one face, prepared and encoded once; in the order of `deltas`."""
        start = perf_counter()
        prepared = self.prepare(image, face, region)
        results = self.edit_prepared(
            prepared, deltas, settings, callback=callback, face_only=face_only
        )
        share = (perf_counter() - start) / max(len(results), 1)
        return [replace(result, seconds=share) for result in results]

    def edit_prepared(
        self,
        prepared: Prepared,
        deltas: AUDelta | Iterable[AUDelta],
        settings: Settings | None = None,
        *,
        encoded: Encoded | None = None,
        callback: RenderCallback | None = None,
        batch_size: int = 8,
        face_only: bool = False,
    ) -> list[EditResult]:
        """Edit a prepared face; pass `encoded` (from `encode`) to reuse it across calls.

        All deltas start from the same noise, so results differ by the delta alone; batch_size of
        them are sampled together. face_only as in `edit`.
        """
        from .rendering import render_encoded

        start = perf_counter()
        wanted = [deltas] if isinstance(deltas, AUDelta) else list(deltas)
        moving = [delta for delta in wanted if not delta.is_zero]
        if not moving:
            return [unchanged(prepared, delta) for delta in wanted]
        encoded = encoded or self.encode(prepared)
        settings = settings or Settings()
        options = RenderOptions(
            settings.seed,
            settings.steps,
            settings.guidance,
            settings.scheduler,
            batch_size=batch_size,
        )
        rendered = render_encoded(
            self.checkpoint, encoded.identity, encoded.conditions, moving, options, callback
        )
        pictures = iter(rendered.pictures.split(1))
        results = [
            unchanged(prepared, delta)
            if delta.is_zero
            else self._pasted(prepared, next(pictures), delta, face_only)
            for delta in wanted
        ]
        share = (perf_counter() - start) / len(wanted)
        return [replace(result, seconds=share) for result in results]

    def _pasted(
        self, prepared: Prepared, edited: Tensor, delta: AUDelta, face_only: bool
    ) -> EditResult:
        mask = face_only_mask(prepared, edited, self.perception) if face_only else None
        return pasted(prepared, edited, delta, mask=mask)
