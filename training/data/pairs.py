"""Samples from prepared pairs: two moments of one person, as ``magicface-data prepare`` chose them.

A row is a pair: the source is the identity image, the target its one target. With a share of
``zero_delta`` the target is its own identity image, an exact all-zero delta, which no two moments
have; with a share of ``flip`` a pair is mirrored.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..config import DataConfig
from .errors import DataError
from .latent_files import LatentCache
from .mirroring import mirror_background
from .prepared import Prepared, verify_hint
from .rows import Row, Rows
from .samples import CachedLatents, Sample
from .windows import Window, cut, draw_window

LABELS = ("pair_id", "mask", "aus_source", "aus_target")
PICTURES = ("source", "target", "background")


def needed_columns(pictures: bool) -> tuple[str, ...]:
    """Columns that samples with or without pictures are made of."""
    return (*LABELS, *PICTURES) if pictures else LABELS


class PairSource:
    """One split of prepared shards.

    latents   read from there, or None
    pictures  whether samples have pictures
    """

    def __init__(
        self, prepared: Prepared, rows: Rows, latents: LatentCache | None, pictures: bool
    ) -> None:
        self.prepared = prepared
        self.rows = rows
        self.latents = latents
        self.pictures = pictures

    def __len__(self) -> int:
        return self.prepared.ends[-1]

    @property
    def picture_size(self) -> int:
        """Pixels along one side of the pictures."""
        return self.prepared.picture_size

    @property
    def region(self) -> str:
        """What the background pictures black out, by the manifest."""
        return self.prepared.region

    @property
    def fingerprint(self) -> str:
        """The manifest's identity of the data, and the split."""
        return f"{self.prepared.sha256}/{self.prepared.split}"

    @property
    def shards(self) -> tuple[int, ...]:
        """Rows of each shard where they have to be read shard by shard; else empty."""
        return self.rows.shards

    def check(self, config: DataConfig) -> None:
        """Raise DataError where pairs cannot be drawn as ``config`` asks."""
        if config.targets_per_identity != 1:
            raise DataError(
                f"data.targets_per_identity is {config.targets_per_identity}, but prepared pairs "
                "have one target for an identity image; set it to 1"
            )
        if self.latents is None:
            return
        if 0 < config.window < self.picture_size:
            raise DataError(
                "data.window cuts pictures, but latents are read from data.cache; set one of them "
                "to 0 or ''"
            )
        if config.flip > 0 and not self.latents.flipped:
            raise DataError(
                "data.flip is above 0, but data.cache was opened without flipped latents; set "
                "data.flip from the start of the run"
            )

    def sample(self, index: int, rng: np.random.Generator, config: DataConfig) -> Sample:
        """The pair of row ``index``, unchanged, mirrored or with the target as its own source."""
        unchanged, flipped = rng.random(2) < (config.zero_delta, config.flip)
        window = draw_window(rng, self.picture_size, config.window)
        row = self.rows.row(index)
        shown = self._shown(row, bool(flipped), window) if self.pictures else {}
        latents = None if self.latents is None else self.latents.read(index, bool(flipped))
        mask = shown["mask"] if shown else self._mask(row, bool(flipped), window)
        delta = _intensities(row["aus_target"]) - _intensities(row["aus_source"])
        sample = Sample(
            delta=delta[None],
            mask=mask[None],
            same_scene=torch.tensor([bool(unchanged)]),
            identity=shown["source"] if shown else None,
            target=shown["target"][None] if shown else None,
            condition=shown["background"][None] if shown else None,
            latents=latents,
        )
        return _without_change(sample) if unchanged else sample

    def _shown(self, row: Row, flipped: bool, window: Window) -> dict[str, Tensor]:
        pixels = {name: self._decoded(row, name, "RGB") for name in PICTURES}
        pixels["mask"] = self._decoded(row, "mask", "L")
        if flipped:
            pixels = mirror_pair(pixels)
        return {name: cut(as_tensor(each), window) for name, each in pixels.items()}

    def _mask(self, row: Row, flipped: bool, window: Window) -> Tensor:
        mask = self._decoded(row, "mask", "L")
        return cut(as_tensor(mask[:, ::-1] if flipped else mask), window)

    def _decoded(self, row: Row, name: str, mode: str) -> np.ndarray:
        try:
            return decode(row[name], mode, self.picture_size)
        except DataError as error:
            raise DataError(
                f"{name} of the pair {row['pair_id']} {error}; {verify_hint(self.prepared.folder)}"
            ) from error


def decode(content: bytes, mode: str, size: int) -> np.ndarray:
    """A square picture of ``size`` pixels as uint8 [H,W,3] ("RGB") or [H,W] ("L").

    Raises DataError, whose text continues "The picture ...", for anything else.
    """
    try:
        with Image.open(io.BytesIO(content), formats=("PNG", "WEBP")) as picture:
            if picture.size != (size, size):
                raise DataError(
                    f"has {picture.width} x {picture.height} pixels, the manifest says {size}"
                )
            return np.asarray(picture.convert(mode))
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise DataError(f"is no readable picture ({error})") from error


def as_tensor(pixels: np.ndarray) -> Tensor:
    """Pixels uint8 [H,W,3] or [H,W] as a picture [3,H,W] or [1,H,W] in 0..1."""
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.array(channels, order="C")).float() / 255


def mirror_pair(pixels: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The pictures of a pair mirrored; action units are of both sides, so their values stay."""
    mirrored = {name: each[:, ::-1] for name, each in pixels.items()}
    mirrored["background"] = mirror_background(
        pixels["background"], pixels["target"], pixels["mask"]
    )
    return mirrored


def _intensities(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def _without_change(sample: Sample) -> Sample:
    """The target as its own identity image."""
    latents = sample.latents
    return Sample(
        delta=torch.zeros_like(sample.delta),
        mask=sample.mask,
        same_scene=sample.same_scene,
        identity=None if sample.target is None else sample.target[0],
        target=sample.target,
        condition=sample.condition,
        latents=latents
        and CachedLatents(
            identity=latents.target_mean[0],
            target_mean=latents.target_mean,
            target_std=latents.target_std,
            condition=latents.condition,
        ),
    )
