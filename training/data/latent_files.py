"""Cached latents on disk: where they lie, whose they are, and how one pair's are read.

    CACHE/KEY/SPLIT/shard-00000.safetensors            float16 [rows,C,h,w] of each name in NAMES
    CACHE/KEY/SPLIT/shard-00000.flipped.safetensors    the same of the mirrored pictures
    CACHE/KEY/SPLIT/shard-00000.json, .flipped.json    checksums; written last

KEY stands for the autoencoder's weights and settings. A pair takes 128 KB at 512 pixels with Stable
Diffusion's autoencoder: mean and standard deviation of the target, source and background.
"""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_right
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from magicface_core.files import write_file

from ..shards.writing import Shard
from .errors import DataError
from .prepared import Prepared
from .samples import CachedLatents

if TYPE_CHECKING:  # workers do without diffusers
    from magicface_core.network.autoencoder import Autoencoder

VERSION = 1
KEY_DIGITS = 16
NAMES = ("source", "target_mean", "target_std", "background")
OPEN_FILES = 64


def autoencoder_key(vae: Autoencoder) -> str:
    """Hexadecimal digits that change with the autoencoder's weights, their type or its settings."""
    digest = hashlib.sha256(f"latents {VERSION}".encode())
    settings = {k: v for k, v in dict(vae.config).items() if not k.startswith("_")}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    for name, tensor in sorted(vae.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:KEY_DIGITS]


def bytes_per_pair(picture_size: int, reduction: int, channels: int, flipped: bool = False) -> int:
    """Disk space of one pair's latents."""
    numbers = channels * (picture_size // reduction) ** 2
    return len(NAMES) * numbers * torch.float16.itemsize * (2 if flipped else 1)


@dataclass(frozen=True)
class LatentRecord:
    """What is noted beside a file of latents: checksums of the shard and of the file itself."""

    shard: str
    sha256: str
    size: int  # bytes
    rows: int


def latent_path(folder: Path, split: str, shard: Shard, flipped: bool) -> Path:
    """The file of a shard's latents below the folder of a key."""
    name = f"{Path(shard.file).stem}{'.flipped' if flipped else ''}.safetensors"
    return folder / split / name


def write_record(path: Path, record: LatentRecord) -> None:
    """Note that the latents at ``path`` are finished."""
    write_file(path.with_suffix(".json"), json.dumps(asdict(record)))


def read_record(path: Path, shard: Shard) -> LatentRecord | None:
    """The record of finished latents of this very shard; None where there are none."""
    try:
        record = LatentRecord(**json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))
        whole = path.stat().st_size == record.size
    except (OSError, ValueError, TypeError):
        return None
    return record if whole and (record.shard, record.rows) == (shard.sha256, shard.rows) else None


class LatentCache:
    """The latents of one split, read row by row through memory maps."""

    def __init__(self, folder: Path, prepared: Prepared, flipped: bool) -> None:
        self.folder = folder
        self.prepared = prepared
        self.flipped = flipped
        self.ends = prepared.ends
        self._files: dict[Path, Any] = {}

    @classmethod
    def open(cls, cache: Path, prepared: Prepared, key: str, flipped: bool) -> LatentCache:
        """The latents below ``cache`` that belong to a key.

        Raises DataError where latents of some shards are missing, or are of other shards.
        """
        folder = cache / key
        wanted = [
            (shard, latent_path(folder, prepared.split, shard, each))
            for shard in prepared.shards
            for each in ((False, True) if flipped else (False,))
        ]
        missing = [path for shard, path in wanted if read_record(path, shard) is None]
        if missing:
            raise DataError(_missing(missing, len(wanted), cache, prepared, key, flipped))
        return cls(folder, prepared, flipped)

    def read(self, index: int, flipped: bool = False) -> CachedLatents:
        """Latents of a row's pictures, as of a sample with one target.

        Raises DataError where the file cannot be read.
        """
        number = bisect_right(self.ends, index)
        shard = self.prepared.shards[number]
        row = index - (self.ends[number] - shard.rows)
        path = latent_path(self.folder, self.prepared.split, shard, flipped)
        try:
            file = self._file(path)
            found = {name: file.get_slice(name)[row : row + 1] for name in NAMES}
        except (OSError, SafetensorError) as error:
            raise DataError(
                f"cannot read the latents {path}: {error}; remove the file and repeat "
                "magicface-data cache"
            ) from error
        source: Tensor = found["source"][0]
        return CachedLatents(source, found["target_mean"], found["target_std"], found["background"])

    def _file(self, path: Path) -> Any:
        if path not in self._files:
            if len(self._files) >= OPEN_FILES:
                self._files.pop(next(iter(self._files)))
            self._files[path] = safe_open(path, "pt")
        return self._files[path]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}


def _missing(
    missing: list[Path], wanted: int, cache: Path, prepared: Prepared, key: str, flipped: bool
) -> str:
    others = sorted(each.name for each in cache.glob("*/") if each.name != key)
    known = f" (there are latents of other autoencoders: {', '.join(others)})" if others else ""
    flip = " --flip" if flipped else ""
    return (
        f"{len(missing)} of {wanted} files of latents are missing or of other shards, the first is "
        f"{missing[0]}{known}; run magicface-data cache {prepared.folder} --autoencoder FOLDER"
        f"{flip} with the autoencoder of this run, or set data.cache to ''"
    )
