"""Encode the pictures of prepared shards once, so that training need not.

Encoding three pictures is 39 % of a training step's arithmetic. Source and background are kept as
posterior modes, the target as mean and standard deviation, all float16 and NOT scaled. A shard is
one file, which is whole or not there; what is finished is kept when the command is repeated.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from magicface_core.files import file_sha256
from magicface_core.network.autoencoder import Autoencoder
from magicface_core.network.checkpoint import load_autoencoder
from magicface_core.network.streaming import write_tensors

from ..config import DataConfig
from ..folders import make_folder
from ..shards.writing import Shard
from .errors import DataError
from .latent_files import LatentRecord, autoencoder_key, latent_path, read_record, write_record
from .pairs import PICTURES, as_tensor, decode, mirror_pair
from .prepared import Prepared, filled_splits, is_address, open_prepared, verify_hint

logger = logging.getLogger(__name__)
DEFAULT_FOLDER = "latents"
Posterior = tuple[Tensor, Tensor]  # mean and standard deviation, [C,h,w] float16


def cache_latents(
    shards: Path | str,
    autoencoder: Path | str | Autoencoder,
    *,
    out: Path | None = None,
    flip: bool = False,
    batch: int = 8,
    device: torch.device | str = "cpu",
) -> Path:
    """Encode the shards' pictures; returns the folder to set ``data.cache`` to.

    Args:
        shards: local folder with the manifest.
        autoencoder: the run's frozen autoencoder, or its diffusers folder.
        out: where to; default SHARDS/latents.
        flip: encode mirrored pictures as well; twice the space.
        batch: pictures encoded at a time.

    Raises:
        DataError: shards are missing or damaged, or the latents cannot be written.
    """
    if is_address(shards):
        raise DataError(f"{shards}: latents are cached from a local folder; copy the shards first")
    if isinstance(autoencoder, Path | str):
        vae = load_autoencoder(Path(autoencoder), torch.float32, torch.device("cpu"))
    else:
        vae = autoencoder
    cache = Path(shards) / DEFAULT_FOLDER if out is None else out
    folder = cache / autoencoder_key(vae)
    vae = vae.to(device)
    for split in filled_splits(Path(shards)):
        prepared = open_prepared(shards, split, DataConfig())
        for shard in tqdm(prepared.shards, desc=prepared.split, unit="shard"):
            for flipped in (False, True) if flip else (False,):
                _cache_shard(prepared, shard, folder, vae, flipped, batch)
    logger.info("latents in %s", folder)
    return cache


def _cache_shard(
    prepared: Prepared, shard: Shard, folder: Path, vae: Autoencoder, flipped: bool, batch: int
) -> None:
    path = latent_path(folder, prepared.split, shard, flipped)
    record = read_record(path, shard)
    if record is not None and file_sha256(path) == record.sha256:
        return
    tensors = _encoded(prepared, shard, vae, flipped, batch)
    make_folder(path.parent)
    write_tensors(path, tensors, {"shard": shard.sha256})
    write_record(
        path, LatentRecord(shard.sha256, file_sha256(path), path.stat().st_size, shard.rows)
    )


def _encoded(
    prepared: Prepared, shard: Shard, vae: Autoencoder, flipped: bool, batch: int
) -> dict[str, Tensor]:
    """Latents of a shard's pictures by name; pictures that occur in several pairs once."""
    known: dict[bytes, Posterior] = {}
    rows: list[dict[str, bytes]] = []
    waiting: dict[bytes, np.ndarray] = {}
    for pixels in _pictures(prepared, shard, flipped):
        digests = {name: hashlib.sha256(pixels[name].data).digest() for name in PICTURES}
        rows.append(digests)
        waiting |= {d: pixels[name] for name, d in digests.items() if d not in known}
        while len(waiting) >= batch:
            _encode(vae, waiting, known, batch)
    while waiting:
        _encode(vae, waiting, known, batch)
    return {
        "source": torch.stack([known[row["source"]][0] for row in rows]),
        "target_mean": torch.stack([known[row["target"]][0] for row in rows]),
        "target_std": torch.stack([known[row["target"]][1] for row in rows]),
        "background": torch.stack([known[row["background"]][0] for row in rows]),
    }


def _pictures(prepared: Prepared, shard: Shard, flipped: bool) -> Iterator[dict[str, np.ndarray]]:
    """The decoded pictures of each row [H,W,3] uint8, in the order of the shard."""
    import pyarrow
    import pyarrow.parquet

    path, names = prepared.path(shard), (*PICTURES, "mask")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for part in file.iter_batches(batch_size=16, columns=list(names)):
                for row in part.to_pylist():
                    pixels = {
                        name: decode(
                            row[name], "L" if name == "mask" else "RGB", prepared.picture_size
                        )
                        for name in names
                    }
                    shown = mirror_pair(pixels) if flipped else pixels
                    yield {name: np.ascontiguousarray(shown[name]) for name in PICTURES}
    except (pyarrow.ArrowException, OSError, DataError) as error:
        raise DataError(
            f"cannot read {path}: a picture {error}; {verify_hint(prepared.folder)}"
            if isinstance(error, DataError)
            else f"cannot read {path}: {error}; {verify_hint(prepared.folder)}"
        ) from error


@torch.no_grad()
def _encode(
    vae: Autoencoder, waiting: dict[bytes, np.ndarray], known: dict[bytes, Posterior], batch: int
) -> None:
    """Move up to ``batch`` pictures from ``waiting`` to ``known``."""
    digests = list(waiting)[:batch]
    weights = next(vae.parameters())
    pictures = torch.stack([as_tensor(waiting.pop(digest)) for digest in digests])
    posterior = vae.encode(pictures.to(weights) * 2 - 1).latent_dist
    mean, deviation = (each.half().cpu() for each in (posterior.mean, posterior.std))
    known |= dict(zip(digests, zip(mean.unbind(), deviation.unbind(), strict=True), strict=True))
