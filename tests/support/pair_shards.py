"""Small folders of prepared shards with made-up pictures, in the layout of the data preparation."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from magicface_training.shards.manifest import Manifest, write_manifest
from magicface_training.shards.schema import PAIR_PICTURES, pair_schema, write_rows
from magicface_training.shards.writing import Shard
from PIL import Image

from magicface_core.files import file_sha256
from magicface_core.framing.background import jaw_dots

needs_litdata = pytest.mark.skipif(
    find_spec("litdata") is None,
    reason="no litdata; pip install litdata (it brings torchvision, which must fit torch)",
)
READERS = ("memory-mapped", pytest.param("streaming", marks=needs_litdata))

SPLITS = {"train": (5, 4), "validation": (3,)}
GROUP = 3  # rows of a row group


def write_pair_shards(
    folder: Path, *, size: int = 64, splits: Mapping[str, tuple[int, ...]] = SPLITS, seed: int = 0
) -> Manifest:
    """Write shards with the given numbers of rows; row i of the split has AU1 rise by i + 1."""
    written: dict[str, tuple[Shard, ...]] = {}
    for number, (split, counts) in enumerate(splits.items()):
        (folder / split).mkdir(parents=True)
        shards, first = [], 0
        for index, count in enumerate(counts):
            rows = [pair_row(split, first + i, size, seed + 1000 * number) for i in range(count)]
            path = folder / split / f"shard-{index:05d}.parquet"
            write_rows(path, pair_schema(), rows, GROUP)
            name = path.relative_to(folder).as_posix()
            shards.append(Shard(name, count, path.stat().st_size, file_sha256(path)))
            first += count
        written[split] = tuple(shards)
    manifest = Manifest(size, written, {}, ("made up",), "nobody is shown", {}, {})
    write_manifest(folder, manifest)
    return manifest


def pair_row(split: str, number: int, size: int, seed: int) -> dict[str, Any]:
    """One row; the pictures are smooth noise with the number in the corner's red."""
    rng = np.random.default_rng([seed, number])
    source, target = (smooth_picture(rng, size) for _ in range(2))
    source[0, 0, 0], target[0, 0, 0] = number, 100 + number
    mask = np.zeros((size, size), bool)
    mask[size // 4 : -size // 8, size // 4 : -size // 4] = True
    background = with_dots(target, mask, *made_up_points(size))
    pictures = [png(source), png(target), png(background), png(mask)]
    aus_source = rng.uniform(0, 2, 12).astype(np.float32)
    aus_target = aus_source.copy()
    aus_target[0] += number + 1
    return {
        "pair_id": f"{split}-{number}",
        "identity_id": f"{split}-person-{number // 2}",
        "video_id": f"video-{number // 2}",
        "video_source": f"video-{number // 2}",
        "time_source": 0.5,
        "time_target": 3.0,
        **dict(zip(PAIR_PICTURES, pictures, strict=True)),
        "aus_source": aus_source.tolist(),
        "aus_target": aus_target.tolist(),
        "pose_source": [0.0, 0.0, 0.0],
        "pose_target": [10.0, 0.0, 0.0],
        "identity_distance": 0.3,
        "quality": 0.9,
        "split": split,
        "licence": "made up",
        "estimator": "none",
        "sha256": hashlib.sha256(b"".join(pictures)).hexdigest(),
    }


def smooth_picture(rng: np.random.Generator, size: int) -> np.ndarray:
    """Blurred noise [size,size,3] uint8, 20 to 200."""
    coarse = rng.integers(20, 200, (8, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def made_up_points(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A frontal jaw [17,2] and eyes, nose tip, mouth corners [5,2] in a picture of ``size``."""
    angle = np.linspace(np.pi, 0, 17)
    jaw = np.stack([0.5 + 0.3 * np.cos(angle), 0.45 + 0.4 * np.sin(angle)], axis=1)
    points5 = np.array([[0.38, 0.4], [0.62, 0.4], [0.5, 0.55], [0.4, 0.7], [0.6, 0.7]])
    return jaw * size, points5 * size


def with_dots(
    target: np.ndarray, mask: np.ndarray, jaw: np.ndarray, points5: np.ndarray
) -> np.ndarray:
    """The background + pose picture [S,S,3] uint8 of a target, black in the mask."""
    kept = np.where(mask[..., None], 0, target).astype(np.float32)
    dots = 255 * jaw_dots(jaw, points5, len(target))
    return (kept + dots).clip(0, 255).round().astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """A PNG file's content; bool pixels as 1-bit."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
