"""What an evaluation asks of an editor, and the editor that a checkpoint is.

Anything with `Editor`'s members can be measured: an ablation, another method, or a stand-in
that copies its input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from magicface_core.framing.preparation import Framing

if TYPE_CHECKING:
    from magicface_core.network import Checkpoint
    from magicface_core.perception import Face


@dataclass(frozen=True)
class EditSource:
    """One source picture, ready for any number of edits.

    ``picture`` ``[1,3,R,R]`` and its background + pose picture ``background`` ``[1,3,R,R]``, both
    0..1; ``mask`` ``[1,1,R,R]`` is what an edit may change (0 outside). ``face`` is the detected
    face in coordinates of the 512 crop, None where none was found and exact labels stood in.
    ``detail`` ``[1,3,S,S]`` is the same picture with more pixels, for editors that change a picture
    at its own resolution (see ``carrying.py``): with it their crops have its size.
    """

    seed: int
    picture: torch.Tensor
    background: torch.Tensor
    mask: torch.Tensor
    face: Face | None
    detail: torch.Tensor | None = None

    @property
    def finest(self) -> torch.Tensor:
        """The picture with the most pixels."""
        return self.picture if self.detail is None else self.detail


class Editor(Protocol):
    """An expression editor of square crops."""

    @property
    def framing(self) -> Framing:
        """What it is shown: the resolution R of its crops, and the region it repaints."""

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        """Edited crops ``[B,3,R,R]`` 0..1, before pasting, for AU deltas ``[B,12]``; of the size
        of the source's ``detail``, where the editor works on that.

        The same source and delta give the same crop, up to rounding, whatever else is in the batch.
        """

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        """The best that the editor's own coding of ``[B,3,R,R]`` allows: its round trip."""

    def detail_reference(self, source: EditSource) -> torch.Tensor | None:
        """The reference ``[1,3,R,R]`` of `geometry.paste_back`, None to paste without it."""


@runtime_checkable
class StreamingEditor(Editor, Protocol):
    """An editor that hands out its edits in batches."""

    def stream(self, source: EditSource, deltas: torch.Tensor) -> Iterator[torch.Tensor]:
        """The rows of `edit` in their order, as batches ``[b,3,R,R]``."""


def streamed(editor: Editor, source: EditSource, deltas: torch.Tensor) -> Iterator[torch.Tensor]:
    """The edits of a source in batches, as small as the editor offers them."""
    if isinstance(editor, StreamingEditor):
        yield from editor.stream(source, deltas)
    else:
        yield editor.edit(source, deltas)


class CheckpointEditor:
    """A MagicFace checkpoint as an `Editor`; settings left out are the checkpoint's own.

    Raises:
        MagicFaceError: the scheduler is unknown.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        *,
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        seed: int = 0,
        batch: int = 16,
    ) -> None:
        from magicface_core.editing.schedulers import make_scheduler

        info = checkpoint.info
        self.checkpoint = checkpoint
        self.steps = info.steps if steps is None else steps
        self.guidance = info.guidance if guidance is None else guidance
        self.scheduler = info.scheduler if scheduler is None else scheduler
        make_scheduler(self.scheduler, checkpoint.scheduler_config)  # an unknown name fails now
        self.seed = seed
        self.batch = batch

    @property
    def framing(self) -> Framing:
        return Framing.of(self.checkpoint.info)

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        """Identity features and background latents are computed once for all deltas."""
        return torch.cat(list(self.stream(source, deltas)))

    def stream(self, source: EditSource, deltas: torch.Tensor) -> Iterator[torch.Tensor]:
        """The same batch by batch, for more edits than fit in memory at once."""
        return self._render(source, deltas, self.guidance)

    def _render(
        self, source: EditSource, deltas: torch.Tensor, guidance: float
    ) -> Iterator[torch.Tensor]:
        from magicface_core.editing.carrying import shown_edits
        from magicface_core.editing.sampling import (
            encode_background,
            encode_identity,
            sample,
        )

        identity = encode_identity(self.checkpoint, source.picture)
        background = encode_background(self.checkpoint, source.background)
        for rows in deltas.split(self.batch):
            latents = sample(
                self.checkpoint,
                identity,
                background,
                rows,
                steps=self.steps,
                guidance=guidance,
                scheduler=self.scheduler,
                noise=self._noise(source.seed, background.shape[2:]),
            )
            yield shown_edits(self.checkpoint, source.finest, latents, identity)

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        from magicface_core.editing.sampling import reconstruct

        rows = [reconstruct(self.checkpoint, part) for part in pictures.split(self.batch)]
        return torch.cat(rows).float().cpu()

    def detail_reference(self, source: EditSource) -> torch.Tensor | None:
        """The model's rendering of the unedited crop, if the checkpoint keeps detail.

        The crop itself, where edits are applied to it (see ``carrying.py``).
        """
        from magicface_core.editing.carrying import carries_detail
        from magicface_core.editing.sampling import no_change_delta

        if not self.checkpoint.info.keep_detail:
            return None
        if carries_detail(self.checkpoint):
            return source.finest
        return next(self._render(source, no_change_delta(), guidance=1.0))

    def _noise(self, seed: int, size: Sequence[int]) -> torch.Tensor:
        """Starting noise [1,C,h,w], the same for all edits of a source, as in the pipeline."""
        generator = torch.Generator().manual_seed(noise_seed(self.seed, seed))
        return torch.randn(1, self.checkpoint.latent_channels, *size, generator=generator)


def noise_seed(run_seed: int, identity_seed: int) -> int:
    """Seed of one source's starting noise (0..2**63-1), from run and identity.

    It depends on nothing else, so a protocol can gain jobs without changing the results of others.
    """
    text = f"{run_seed}:{identity_seed}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
