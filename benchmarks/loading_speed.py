"""Training data: samples per second, and the share of a step that waits for them.

Prepared shards are read memory-mapped and streamed, with pictures and with cached latents, with
several numbers of worker processes: once as fast as they come, once for steps of a given length.
Without ``--shards``, pairs are made up from the shipped portrait.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from magicface_training.config import DataConfig, OptimConfig, TrainConfig
from magicface_training.data.latent_cache import cache_latents
from magicface_training.data.loading import WaitMeter, batches
from magicface_training.data.sources import SampleSource, open_source
from magicface_training.shards.manifest import Manifest, write_manifest
from magicface_training.shards.schema import PAIR_PICTURES, pair_schema, write_rows
from magicface_training.shards.writing import ROWS_PER_GROUP, Shard
from PIL import Image

from magicface_core.files import file_sha256
from magicface_core.network.autoencoder import PatchAutoencoder

READERS = ("memory-mapped", "streaming")
TARGET = 0.05  # share of a step


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shards", type=Path, help="prepared shards (default: made up)")
    parser.add_argument("--rows", type=int, default=256, help="made-up pairs")
    parser.add_argument("--size", type=int, default=512, help="pixels of made-up pictures")
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--readers", nargs="+", default=READERS, choices=READERS, help="streaming needs litdata"
    )
    parser.add_argument("--batch", type=int, default=8, help="pairs of a step")
    parser.add_argument("--steps", type=int, default=40, help="measured steps")
    parser.add_argument("--step-seconds", type=float, default=0.5, help="length of a step")
    args = parser.parse_args(argv)
    with TemporaryDirectory() as scratch:
        shards = args.shards or made_up_shards(Path(scratch) / "shards", args.rows, args.size)
        results = measure_all(shards, Path(scratch), args)
    print(json.dumps(results))
    return 0


def measure_all(shards: Path, scratch: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Every reader, with pictures and with latents, with every number of workers."""
    # Latents of Stable Diffusion's shape; what is in them costs no time.
    vae = PatchAutoencoder(patch_size=8, latent_channels=4, width=4, blocks=1)
    cache = cache_latents(shards, vae, out=scratch / "latents")
    results = []
    for reader in args.readers:
        for latents in (False, True):
            data = DataConfig(
                reader=reader,
                cache=str(cache) if latents else "",
                scratch=str(scratch / "reader"),
                identities_per_step=args.batch,
            )
            source = open_source(shards, "train", data, vae=vae)
            for workers in args.workers:
                result = measure(source, data, workers, args.steps, args.step_seconds)
                results.append({"reader": reader, "latents": latents, **result})
                print(_line(results[-1]), flush=True)
    return results


def measure(
    source: SampleSource, data: DataConfig, workers: int, steps: int, step_seconds: float
) -> dict[str, Any]:
    """Samples per second without a pause, and the share waited in steps of ``step_seconds``."""
    config = TrainConfig(
        data=replace(data, workers=workers), optim=OptimConfig(steps=2 * steps + 2)
    )
    loader = batches(source, config, seed=0)
    next(loader)  # the workers start, files are opened
    start = time.perf_counter()
    count = sum(len(batch.delta) for batch in islice(loader, steps))
    seconds = time.perf_counter() - start
    meter = WaitMeter(loader)
    for _ in islice(meter, steps):
        time.sleep(step_seconds)
    return {
        "workers": workers,
        "samples_per_second": count / seconds,
        "step_seconds": step_seconds,
        "stall_share": meter.stall_share,
    }


def _line(result: dict[str, Any]) -> str:
    what = "latents" if result["latents"] else "pictures"
    return (
        f"{result['reader']:14} {what:9} {result['workers']} workers "
        f"{result['samples_per_second']:8.1f} samples/s   waiting {result['stall_share']:6.1%} of "
        f"steps of {result['step_seconds']} s   (target {TARGET:.0%})"
    )


# --- made-up shards -----------------------------------------------------------------------------


def made_up_shards(folder: Path, rows: int, size: int) -> Path:
    """Two shards of the shipped portrait in different light."""
    (folder / "train").mkdir(parents=True)
    with resources.files("magicface_core").joinpath("assets/portrait.png").open("rb") as file:
        portrait = np.asarray(Image.open(file).convert("RGB").resize((size, size)), np.float32)
    shards = []
    for index, count in enumerate((rows - rows // 2, rows // 2)):
        path = folder / "train" / f"shard-{index:05d}.parquet"
        table = [_row(portrait, index, number) for number in range(count)]
        write_rows(path, pair_schema(), table, ROWS_PER_GROUP)
        name = path.relative_to(folder).as_posix()
        shards.append(Shard(name, count, path.stat().st_size, file_sha256(path)))
    manifest = Manifest(size, {"train": tuple(shards)}, {}, ("made up",), "made up", {}, {})
    write_manifest(folder, manifest)
    return folder


def _row(portrait: np.ndarray, index: int, number: int) -> dict[str, Any]:
    rng = np.random.default_rng([index, number])
    source, target = (portrait * rng.uniform(0.7, 1.0, 3) for _ in range(2))
    mask = np.zeros(portrait.shape[:2], bool)
    mask[len(mask) // 4 : -len(mask) // 8, len(mask) // 4 : -len(mask) // 4] = True
    pictures = (source, target, np.where(mask[..., None], 0, target))
    contents = [_png(each.astype(np.uint8)) for each in pictures] + [_png(mask)]
    return {
        **{field.name: "made up" for field in pair_schema() if str(field.type) == "string"},
        "pair_id": f"{index}-{number}",
        "time_source": 0.0,
        "time_target": 2.0,
        **dict(zip(PAIR_PICTURES, contents, strict=True)),
        **{name: rng.uniform(0, 3, 12).tolist() for name in ("aus_source", "aus_target")},
        **{name: [0.0, 0.0, 0.0] for name in ("pose_source", "pose_target")},
        "identity_distance": 0.0,
        "quality": 1.0,
    }


def _png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


if __name__ == "__main__":
    raise SystemExit(main())
