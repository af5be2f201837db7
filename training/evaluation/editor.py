"""What an evaluation asks of an editor, and the editor that a checkpoint is.

Anything with `Editor`'s members can be measured: an ablation, another method, or a stand-in
that copies its input.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from magicface_core.aus import AUDelta
from magicface_core.editing.settings import RenderOptions
from magicface_core.framing.framing import Framing

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

    @property
    def keeps_detail(self) -> bool:
        """Whether its edits hold the source's own pixels wherever they change nothing.

        An edit that equals the source there is pasted as no change at all.
        """


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
        from magicface_core.editing.identity import encode_identities
        from magicface_core.editing.rendering import encode_backgrounds, render_encoded

        options = RenderOptions(
            noise_seed(self.seed, source.seed),
            self.steps,
            self.guidance,
            self.scheduler,
            render_zero=True,
            batch_size=self.batch,
            size=source.finest.shape[-1],
        )
        identity = encode_identities(self.checkpoint, source.finest)
        conditions = encode_backgrounds(self.checkpoint, source.background)
        for rows in deltas.split(self.batch):
            wanted = [AUDelta.from_values(row.tolist()) for row in rows]
            yield render_encoded(self.checkpoint, identity, conditions, wanted, options).pictures

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        from magicface_core.editing.sampling import reconstruct

        rows = [reconstruct(self.checkpoint, part) for part in pictures.split(self.batch)]
        return torch.cat(rows).float().cpu()

    @property
    def keeps_detail(self) -> bool:
        return self.checkpoint.info.keep_detail


def noise_seed(run_seed: int, identity_seed: int) -> int:
    """Seed of one source's starting noise (0..2**63-1), from run and identity.

    It depends on nothing else, so a protocol can gain jobs without changing the results of others.
    """
    text = f"{run_seed}:{identity_seed}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
