"""What the readers hand to training: samples, and batches made of them.

A sample is one identity image with its K targets; a batch is R samples. Rows are ordered target by
target: row b belongs to identity b mod R, and is its target b // R.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor

from ..config import DataConfig

NOWHERE = -1  # position of a sample that no order has drawn


@dataclass(frozen=True)
class CachedLatents:
    """What the autoencoder makes of a sample or batch: float16 and NOT scaled.

    In a sample ``identity`` is [C,h,w] and the others [K,C,h,w]; in a batch [R,C,h,w] and
    [R*K,C,h,w]. ``identity`` and ``condition`` are posterior modes, as the released model is
    conditioned; the target's posterior is kept whole, as mean and standard deviation.
    """

    identity: Tensor
    target_mean: Tensor
    target_std: Tensor
    condition: Tensor

    def target(self, noise: Tensor | None = None) -> Tensor:
        """Target latents float32: the posterior's mode, or its sample for standard normal noise."""
        mean = self.target_mean.float()
        return mean if noise is None else mean + self.target_std.float() * noise


@dataclass(frozen=True)
class Sample:
    """One identity image with K targets.

    Attributes:
        delta: [K,12], target - identity.
        mask: [K,1,H,W] float, 1 where the condition is black.
        same_scene: [K] bool, exact edits; False for pairs of two moments.
        identity: picture [3,H,W] in 0..1; None where latents stand in for pictures.
        target, condition: pictures [K,3,H,W] in 0..1, or None.
        latents: from the latent cache, or None.
        tracks: [K,P,5], where rendered faces tell: x, y of P spots of skin in the target, from
            there to the spot in the identity image (x, y), and 1 where both see it; positions from
            -1 to 1 across the picture.
        position: place in the run's order (see ``order.py``).
    """

    delta: Tensor
    mask: Tensor
    same_scene: Tensor
    identity: Tensor | None = None
    target: Tensor | None = None
    condition: Tensor | None = None
    latents: CachedLatents | None = None
    tracks: Tensor | None = None
    position: int = NOWHERE


class SampleSource(Protocol):
    """Units to draw samples from; picklable, so that workers can have it."""

    @property
    def picture_size(self) -> int:
        """Pixels along one side of the pictures."""

    @property
    def region(self) -> str:
        """What the background pictures black out: "face", "person", or "" where nothing says so."""

    @property
    def fingerprint(self) -> str:
        """Changes with the data; part of what a resumed run is compared by."""

    @property
    def shards(self) -> tuple[int, ...]:
        """Units of each shard where they have to be read shard by shard; else empty."""

    def __len__(self) -> int:
        """Number of units."""

    def check(self, config: DataConfig) -> None:
        """Raise DataError where samples cannot be drawn as ``config`` asks."""

    def sample(self, index: int, rng: np.random.Generator, config: DataConfig) -> Sample:
        """A sample of unit ``index``; depends on the arguments and nothing else."""


def _no_positions() -> Tensor:
    return torch.zeros(0, dtype=torch.int64)


@dataclass(frozen=True)
class Batch:
    """R identity images and R*K targets; target row b belongs to identity b mod R.

    Pictures are [.,3,H,W] in 0..1, None where latents were read in their place; ``mask``
    [R*K,1,H,W] is 1 where the condition is black; ``delta`` [R*K,12] is target - identity;
    ``same_scene`` [R*K] tells exact edits from pairs across scenes; ``tracks`` [R*K,P,5] are the
    movements of skin, of rendered faces (see `Sample`); ``position`` [R] int64 is each
    identity image's place in the run's order, which no two of a run share; it is empty in batches
    that no order has drawn.
    """

    identity: Tensor | None
    target: Tensor | None
    condition: Tensor | None
    mask: Tensor
    delta: Tensor
    same_scene: Tensor
    position: Tensor = field(default_factory=_no_positions)
    latents: CachedLatents | None = None
    tracks: Tensor | None = None

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """The batch on a device."""
        return _map_tensors(self, lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self) -> Batch:
        """The batch in page-locked memory, from where copies to a GPU need not wait."""
        return _map_tensors(self, Tensor.pin_memory)


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch of samples of equal shapes, in their order."""
    latents = [s.latents for s in samples if s.latents is not None]
    return Batch(
        identity=_stacked([s.identity for s in samples]),
        target=_interleaved([s.target for s in samples]),
        condition=_interleaved([s.condition for s in samples]),
        mask=_rows([s.mask for s in samples]),
        delta=_rows([s.delta for s in samples]),
        same_scene=_rows([s.same_scene for s in samples]),
        position=torch.tensor([s.position for s in samples], dtype=torch.int64),
        latents=_collated(latents) if latents else None,
        tracks=_interleaved([s.tracks for s in samples]),
    )


def _collated(latents: Sequence[CachedLatents]) -> CachedLatents:
    return CachedLatents(
        identity=torch.stack([each.identity for each in latents]),
        target_mean=_rows([each.target_mean for each in latents]),
        target_std=_rows([each.target_std for each in latents]),
        condition=_rows([each.condition for each in latents]),
    )


def _rows(tensors: Sequence[Tensor]) -> Tensor:
    """R tensors [K,...] as [K*R,...]: all first targets, then all second ones."""
    return torch.stack(list(tensors), dim=1).flatten(0, 1)


def _stacked(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    return torch.stack(present) if present else None


def _interleaved(tensors: Sequence[Tensor | None]) -> Tensor | None:
    present = [tensor for tensor in tensors if tensor is not None]
    return _rows(present) if present else None


T = TypeVar("T", Batch, CachedLatents)


def _map_tensors(holder: T, change: Callable[[Tensor], Tensor]) -> T:
    changed: dict[str, Tensor | CachedLatents] = {}
    for each in fields(holder):
        value = getattr(holder, each.name)
        if isinstance(value, Tensor):
            changed[each.name] = change(value)
        elif isinstance(value, CachedLatents):
            changed[each.name] = _map_tensors(value, change)
    return replace(holder, **changed)  # type: ignore[arg-type]
