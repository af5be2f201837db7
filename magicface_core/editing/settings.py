"""How to sample, without importing a network."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import MagicFaceError
from ..pictures.resampling import WORKING_SIZE


@dataclass(frozen=True)
class Settings:
    """How to sample; None stands for the checkpoint's own. guidance is the paper's alpha."""

    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None


@dataclass(frozen=True)
class RenderOptions(Settings):
    """How to render several edits.

    render_zero  draw all-zero deltas too, instead of returning the face itself
    batch_size   rows sampled together
    size         side of the pictures in pixels
    keep_detail  carry over detail of the face that the resolution lacks; None: as the checkpoint
                 asks
    """

    render_zero: bool = False
    batch_size: int = 4
    size: int = WORKING_SIZE
    keep_detail: bool | None = None

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise MagicFaceError(f"batch_size is {self.batch_size}; it must be 1 or more")
