"""Edit sets at half their resolution, for networks that must learn in minutes."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
from magicface_training.data.errors import DataError

from magicface_core.files import whole_file

logger = logging.getLogger(__name__)


def halve(source: Path, out: Path, identities: int) -> None:
    """Writes the first shards of ``source``, at least ``identities`` people, where missing.

    Pictures are means of 2 x 2 pixels, a mask is 1 where any of four is.

    Raises:
        DataError: there are not so many people.
    """
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in sorted(source.glob("*.npz")):
        if count >= identities:
            return
        with np.load(path) as shard:
            count += len(shard["seed"])
            if not (out / path.name).is_file():
                logger.info("halving %s", path)
                _write(out / path.name, {name: shard[name] for name in shard.files})
    if count < identities:
        raise DataError(
            f"{source} holds {count} identities, {identities} are asked for; render more with "
            "python -m magicface_training.data.render"
        )


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name in ("image", "condition"):
        blocks = _blocks(arrays[name].astype(np.float32))
        arrays[name] = blocks.mean((-3, -1)).round().astype(np.uint8)
    bits = np.unpackbits(arrays["mask"], axis=-1)
    side = round(bits.shape[-1] ** 0.5)
    halved = _blocks(bits.reshape(*bits.shape[:-1], side, side)).max((-3, -1))
    arrays["mask"] = np.packbits(halved.reshape(*bits.shape[:-1], -1), axis=-1)
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _blocks(pictures: np.ndarray) -> np.ndarray:
    """[...,H,W] -> [...,H/2,2,W/2,2]."""
    *leading, height, width = pictures.shape
    return pictures.reshape(*leading, height // 2, 2, width // 2, 2)
