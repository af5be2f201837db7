"""Samples from shards of edit sets, which ``render.py`` makes.

An edit set holds one identity in S scenes (pose, camera, light, background), each with E
expressions, so any two pictures of one scene are an edit and its exact answer, and pictures of two
scenes are the paper's pairs (same identity, other expression, other pose or background). Shards are
``.npz`` files with

    image      [n, S*E, 3, H, W] uint8
    condition  [n, S*E, 3, H, W] uint8, background + pose pictures
    mask       [n, S*E, H*W/8] packed bits, 1 where the condition is black
    au         [n, S*E, 12] float32, intensities 0..5
    points     [n, S*E, P, 2] float16, spots of skin (see ``synthetic/picture/tracks.py``)
    seen       [n, S*E, P] bool, whether these face the camera
    seed       [n] int64, of the identities
    scenes     [] int64, S; 2 where it is missing
"""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..config import DataConfig
from .errors import DataError
from .samples import Batch, Sample, collate
from .windows import Window, draw_window

__all__ = ["Batch", "DataError", "EditSets"]

DEFAULT_SCENES = 2


class EditSets:
    """All shards of a folder in memory."""

    def __init__(self, folder: Path | str) -> None:
        paths = sorted(Path(folder).glob("*.npz"))
        if not paths:
            raise DataError(
                f"no shards (*.npz) in {folder}; "
                "make them with python -m magicface_training.data.render"
            )
        self.folder = folder
        shards = [_opened(path) for path in paths]
        self.image = np.concatenate([s["image"] for s in shards])
        self.condition = np.concatenate([s["condition"] for s in shards])
        self.mask = np.concatenate([s["mask"] for s in shards])
        self.au = np.concatenate([s["au"] for s in shards])
        tracked = all("points" in shard for shard in shards)
        self.points = np.concatenate([s["points"] for s in shards]) if tracked else None
        self.seen = np.concatenate([s["seen"] for s in shards]) if tracked else None
        self.scenes = _common_scenes(shards, folder)
        self.expressions = self.image.shape[1] // self.scenes
        self.size = self.image.shape[-1]

    def __len__(self) -> int:
        return len(self.image)

    def __reduce__(self) -> tuple[type[EditSets], tuple[Path | str]]:
        """Worker processes read the shards themselves."""
        return EditSets, (self.folder,)

    @property
    def picture_size(self) -> int:
        """Pixels along one side of the pictures."""
        return self.size

    @property
    def region(self) -> str:
        """What the renderer blacks out."""
        return "face"

    @property
    def shards(self) -> tuple[int, ...]:
        """All are in memory."""
        return ()

    @property
    def fingerprint(self) -> str:
        """Of shapes, action units and masks; pictures follow from what rendered them."""
        digest = hashlib.sha256(f"{self.image.shape} {self.scenes}".encode())
        digest.update(np.ascontiguousarray(self.au).data)
        digest.update(np.ascontiguousarray(self.mask).data)
        return digest.hexdigest()

    def check(self, config: DataConfig) -> None:
        """Raise DataError where samples cannot be drawn as ``config`` asks."""
        if config.other_scene > 0 and self.scenes < 2:
            raise DataError(
                "data.other_scene is above 0, but the shards hold one scene; set it to 0"
            )
        if config.flip > 0:
            raise DataError(
                f"data.flip is {config.flip}, but edit sets are not mirrored: their dots are drawn "
                "small and blurred; set it to 0"
            )

    def batch(self, rng: np.random.Generator, config: DataConfig) -> Batch:
        """Draw R identities (without repeats) and K targets for each; without positions."""
        self.check(config)
        count = config.identities_per_step
        people = rng.choice(len(self), count, replace=len(self) < count)
        return collate([self.sample(int(person), rng, config) for person in people])

    def sample(self, index: int, rng: np.random.Generator, config: DataConfig) -> Sample:
        """A picture of identity ``index`` and K targets for it.

        What comes out depends on the generator and the configuration alone.
        """
        source = int(rng.integers(self.scenes * self.expressions))
        targets = self._draw_targets(rng, source, config)
        return self._gather(index, source, targets, draw_window(rng, self.size, config.window))

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

    def _gather(self, person: int, source: int, targets: list[int], at: Window) -> Sample:
        same = [source // self.expressions == target // self.expressions for target in targets]
        # An exact edit is conditioned as inference is: on the source's own background and pose.
        shown = [source if flag else target for target, flag in zip(targets, same, strict=True)]
        return Sample(
            delta=torch.from_numpy(self.au[person, targets] - self.au[person, source]).float(),
            mask=self._masks(person, shown, at),
            same_scene=torch.tensor(same),
            identity=_cut(self.image, person, [source], at)[0],
            target=_cut(self.image, person, targets, at),
            condition=_cut(self.condition, person, shown, at),
            tracks=self._tracks(person, source, targets, at),
        )

    def _tracks(self, person: int, source: int, targets: list[int], at: Window) -> Tensor | None:
        """Movements [K,P,5] of skin between targets and source, in the window's coordinates."""
        if self.points is None or self.seen is None:
            return None
        points = _in_window(self.points[person].astype(np.float32), self.size, at)
        seen = (self.seen[person, targets] & self.seen[person, source])[..., None]
        there, back = points[targets], points[source] - points[targets]
        return torch.from_numpy(np.concatenate([there, back, seen], axis=2).astype(np.float32))

    def _masks(self, person: int, rows: list[int], at: Window) -> Tensor:
        bits = [np.unpackbits(self.mask[person, row]).reshape(self.size, -1) for row in rows]
        return torch.from_numpy(np.stack(bits)[:, None, at[0], at[1]].astype(np.float32))


def _cut(pictures: np.ndarray, person: int, rows: list[int], at: Window) -> Tensor:
    """Windows [K,3,h,w] in 0..1 of a person's pictures."""
    picked = np.stack([pictures[person, row][:, at[0], at[1]] for row in rows])
    return torch.from_numpy(picked).float() / 255


def _in_window(points: np.ndarray, size: int, at: Window) -> np.ndarray:
    """Points [...,2] (x, y) from -1 to 1 across the picture, across its window instead."""
    rows, columns = (range(size)[part] for part in at)
    middle = np.array([columns.start + columns.stop, rows.start + rows.stop]) / 2
    moved: np.ndarray = (points + 1) * size / 2 - middle
    return moved * 2 / len(rows)


def _opened(path: Path) -> Any:
    try:
        shard = np.load(path)
        missing = {"image", "condition", "mask", "au"} - set(shard.files)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, AttributeError) as error:
        raise DataError(f"cannot read {path}: {error}; remove it and render it again") from error
    if missing:
        raise DataError(f"{path} lacks {sorted(missing)}; remove it and render it again")
    return shard


def _common_scenes(shards: list[Any], folder: Path | str) -> int:
    counts = {int(s["scenes"]) if "scenes" in s else DEFAULT_SCENES for s in shards}
    if len(counts) != 1 or shards[0]["image"].shape[1] % min(counts):
        raise DataError(
            f"the shards in {folder} have {sorted(counts)} scenes; keep shards of one kind in it"
        )
    return counts.pop()
