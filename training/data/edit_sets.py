"""Batches of editing pairs from prepared shards of edit sets.

An edit set holds one identity in S scenes (pose, camera, light, background), each with E
expressions, so any two pictures of one scene are an edit and its exact answer, and pictures of two
scenes are the paper's pairs (same identity, other expression, other pose or background). Shards are
``.npz`` files with

    image      [n, S*E, 3, H, W] uint8
    condition  [n, S*E, 3, H, W] uint8, background + pose pictures
    mask       [n, S*E, H*W/8] packed bits, 1 where the condition is black
    au         [n, S*E, 12] float32, intensities 0..5
    seed       [n] int64, of the identities
    scenes     [] int64, S; 2 where it is missing
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from magicface_core.errors import MagicFaceError

from ..config import DataConfig

DEFAULT_SCENES = 2


class DataError(MagicFaceError):
    """Training data that is missing or of another layout."""


@dataclass(frozen=True)
class Batch:
    """R identity images and R*K targets; target row b belongs to identity b mod R.

    Pictures are [.,3,H,W] in 0..1; ``mask`` [R*K,1,H,W] is 1 where the condition is black;
    ``delta`` [R*K,12] is target - identity; ``same_scene`` [R*K] tells exact edits from pairs
    across scenes.
    """

    identity: Tensor
    target: Tensor
    condition: Tensor
    mask: Tensor
    delta: Tensor
    same_scene: Tensor

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return Batch(**{f.name: getattr(self, f.name).to(device) for f in fields(self)})


class EditSets:
    """All shards of a folder in memory."""

    def __init__(self, folder: Path | str) -> None:
        paths = sorted(Path(folder).glob("*.npz"))
        if not paths:
            raise DataError(
                f"no shards (*.npz) in {folder}; "
                "make them with python -m magicface_training.data.render"
            )
        shards = [np.load(p) for p in paths]
        self.image = np.concatenate([s["image"] for s in shards])
        self.condition = np.concatenate([s["condition"] for s in shards])
        self.mask = np.concatenate([s["mask"] for s in shards])
        self.au = np.concatenate([s["au"] for s in shards])
        self.scenes = _common_scenes(shards, folder)
        self.expressions = self.image.shape[1] // self.scenes
        self.size = self.image.shape[-1]

    def __len__(self) -> int:
        return len(self.image)

    def batch(self, rng: np.random.Generator, config: DataConfig) -> Batch:
        """Draw R identities (without repeats) and K targets for each.

        What comes out depends on the generator and the configuration alone.
        """
        if config.other_scene > 0 and self.scenes < 2:
            raise DataError(
                "data.other_scene is above 0, but the shards hold one scene; set it to 0"
            )
        count = config.identities_per_step
        people = rng.choice(len(self), count, replace=len(self) < count)
        sources = [int(rng.integers(self.scenes * self.expressions)) for _ in people]
        targets = [self._draw_targets(rng, s, config) for s in sources]
        rows = [
            (p, s, t[k])
            for k in range(config.targets_per_identity)
            for p, s, t in zip(people, sources, targets, strict=True)
        ]
        return self._gather(
            list(zip(people, sources, strict=True)), rows, self._window(rng, config.window)
        )

    def _draw_targets(self, rng: np.random.Generator, source: int, config: DataConfig) -> list[int]:
        """Pictures of the source's scene; some the source itself, some of another scene."""
        scene, own = divmod(source, self.expressions)
        others = rng.permutation([e for e in range(self.expressions) if e != own])
        targets = []
        for k in range(config.targets_per_identity):
            draw = rng.random()
            if draw < config.zero_delta:
                targets.append(source)
            elif draw < config.zero_delta + config.other_scene:
                other = self._other_scene(rng, scene)
                targets.append(other * self.expressions + int(rng.integers(self.expressions)))
            else:
                targets.append(scene * self.expressions + int(others[k % len(others)]))
        return targets

    def _other_scene(self, rng: np.random.Generator, scene: int) -> int:
        step = 1 if self.scenes == 2 else int(rng.integers(1, self.scenes))
        return (scene + step) % self.scenes

    def _window(self, rng: np.random.Generator, window: int) -> tuple[slice, slice]:
        """A centred square, moved by up to 8 pixels on a grid of 8; the whole picture for 0."""
        if not 0 < window < self.size:
            return slice(None), slice(None)
        middle = (self.size - window) // 2
        top, left = (
            int(np.clip(middle + 8 * rng.integers(-1, 2), 0, 2 * middle)) for _ in range(2)
        )
        return slice(top, top + window), slice(left, left + window)

    def _gather(
        self,
        identities: list[tuple[int, int]],
        rows: list[tuple[int, int, int]],
        at: tuple[slice, slice],
    ) -> Batch:
        same = [s // self.expressions == t // self.expressions for _, s, t in rows]
        # An exact edit is conditioned as inference is: on the source's own background and pose.
        conditioned = [(p, s if flag else t) for (p, s, t), flag in zip(rows, same, strict=True)]
        delta = np.stack([self.au[p, t] - self.au[p, s] for p, s, t in rows])
        return Batch(
            identity=self._pictures(self.image, identities, at),
            target=self._pictures(self.image, [(p, t) for p, _, t in rows], at),
            condition=self._pictures(self.condition, conditioned, at),
            mask=self._masks(conditioned, at),
            delta=torch.from_numpy(delta).float(),
            same_scene=torch.tensor(same),
        )

    def _pictures(
        self, pictures: np.ndarray, at: list[tuple[int, int]], window: tuple[slice, slice]
    ) -> Tensor:
        picked = np.stack([pictures[p, i][:, window[0], window[1]] for p, i in at])
        return torch.from_numpy(picked).float() / 255

    def _masks(self, at: list[tuple[int, int]], window: tuple[slice, slice]) -> Tensor:
        bits = [np.unpackbits(self.mask[p, i]).reshape(self.size, self.size) for p, i in at]
        return torch.from_numpy(np.stack(bits)[:, None, window[0], window[1]].astype(np.float32))


def _common_scenes(shards: list[Any], folder: Path | str) -> int:
    counts = {int(s["scenes"]) if "scenes" in s else DEFAULT_SCENES for s in shards}
    if len(counts) != 1 or shards[0]["image"].shape[1] % min(counts):
        raise DataError(
            f"the shards in {folder} have {sorted(counts)} scenes; keep shards of one kind in it"
        )
    return counts.pop()
