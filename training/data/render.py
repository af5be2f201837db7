"""Render prepared edit sets of synthetic faces.

    python -m magicface_training.data.render --split train --identities 2000 --out FOLDER

Each identity seed gives one edit set (see ``edit_sets.py``), the same pictures every time. Shards
of 50 identities appear whole or not at all, and existing ones are kept, so the command can be
interrupted and repeated, also with more identities.

What inference will find in a photograph is less exact than what the renderer knows, so the mask's
growth and the jaw's dots are jittered.
"""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from magicface_core.errors import MagicFaceError
from magicface_core.files import whole_file
from magicface_core.framing.background import jaw_dots
from magicface_core.pictures.masks import grow_mask

from ..synthetic import (
    HeadModel,
    Rendering,
    edit_set_rng,
    sample_edit_set,
    sample_identity,
    split_seeds,
)
from ..synthetic.picture.render import render
from ..synthetic.picture.tracks import track, tracked_vertices
from .edit_sets import DataError

logger = logging.getLogger(__name__)
SHARD = 50
SPLITS = ("train", "validation")
DOTS_SIZE = 512  # the dots are drawn as for the released resolution, then reduced
JITTER_STREAM = 97  # first word of the random stream of an identity's jitter
# Jitter in pixels of a 128 px picture: growth of the mask on every side and beyond the chin
# (lowest, highest), and standard deviations of the dots' common shift, single shifts and anchors.
REFERENCE_SIZE = 128
DILATION = (1, 3)
EXTENSION = (7, 11)
COMMON_SHIFT, SINGLE_SHIFT, ANCHOR_SHIFT = 1.5, 1.2, 1.0

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Layout:
    """Scenes of an edit set, expressions of a scene, pixels along one side."""

    scenes: int = 2
    expressions: int = 6
    size: int = 128

    def __post_init__(self) -> None:
        if self.scenes < 1 or self.expressions < 2:
            raise DataError(
                f"{self.scenes} scenes of {self.expressions} expressions make no edits; "
                "ask for at least 1 scene and 2 expressions"
            )
        if self.size < 32 or self.size % 8 or self.size > DOTS_SIZE:
            raise DataError(f"size is {self.size}; choose a multiple of 8 within 32..{DOTS_SIZE}")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        layout = Layout(args.scenes, args.expressions, args.size)
        seeds = _seeds(args.split, args.start, args.identities)
        write_shards(args.out, seeds, layout, args.workers)
    except MagicFaceError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "\ninterrupted; the same command goes on from here\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m magicface_training.data.render",
        description="Render prepared edit sets of synthetic faces.",
    )
    parser.add_argument("--split", choices=SPLITS, default="train")
    parser.add_argument("--identities", type=int, default=2000)
    parser.add_argument("--start", type=int, help="first seed (default: the first of the split)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    parser.add_argument("--scenes", type=int, default=Layout.scenes)
    parser.add_argument("--expressions", type=int, default=Layout.expressions, help="of a scene")
    parser.add_argument("--size", type=int, default=Layout.size, help="pixels along one side")
    return parser


def _seeds(split: str, start: int | None, count: int) -> range:
    first = split_seeds(split).start  # type: ignore[arg-type]
    offset = 0 if start is None else start - first
    return split_seeds(split, offset, count)  # type: ignore[arg-type]


def write_shards(folder: Path, seeds: range, layout: Layout, workers: int = 1) -> list[Path]:
    """Render what is missing of the edit sets of ``seeds``; returns the shards' paths in order.

    Raises DataError where a shard of another layout stands in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot create {folder}: {error.strerror}") from error
    parts = [seeds[i : i + SHARD] for i in range(0, len(seeds), SHARD)]
    shards = {folder / f"shard_{part.start:08d}.npz": part for part in parts}
    missing = {path: part for path, part in shards.items() if not _complete(path, part, layout)}
    total = sum(len(part) for part in missing.values())
    logger.info("%d shards in %s, %d to render", len(shards), folder, len(missing))
    with _renderer(layout, workers) as edit_sets, tqdm(total=total, unit="identity") as bar:
        for path, part in missing.items():
            rows = []
            for row in edit_sets(part):
                rows.append(row)
                bar.update()
            _write(path, {key: np.stack([row[key] for row in rows]) for key in rows[0]}, layout)
    return list(shards)


def _complete(path: Path, seeds: range, layout: Layout) -> bool:
    """Whether a shard holds ``seeds``; a shorter one, from a run with fewer, is to be replaced."""
    if not path.is_file():
        return False
    with np.load(path) as shard:
        scenes, expressions = int(shard["scenes"]), shard["au"].shape[1] // int(shard["scenes"])
        found = Layout(scenes, expressions, round((shard["mask"].shape[-1] * 8) ** 0.5))
        present = shard["seed"].tolist() if "points" in shard.files else []
    if found != layout:
        raise DataError(f"{path} has {found}, asked for is {layout}; choose another folder")
    return present[: len(seeds)] == list(seeds)


@contextmanager
def _renderer(layout: Layout, workers: int) -> Iterator[functools.partial[Iterator[Arrays]]]:
    """A function from seeds to edit sets, in order; in this process or in several."""
    make = functools.partial(prepared_edit_set, layout=layout)
    if workers <= 1:
        yield functools.partial(map, make)
        return
    context = multiprocessing.get_context("spawn")  # a forked torch may hang
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        try:
            yield functools.partial(pool.map, make)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


@functools.cache
def _head_model() -> HeadModel:
    """Loaded once in each process; never changed."""
    return HeadModel.load()


@functools.cache
def _tracked_vertices() -> Tensor:
    """Likewise."""
    return tracked_vertices(_head_model())


def prepared_edit_set(seed: int, layout: Layout) -> Arrays:
    """The edit set of one identity as the arrays of a shard (see ``edit_sets.py``), without [n]."""
    model = _head_model()
    identity = sample_identity(model, seed)
    rows = sample_edit_set(edit_set_rng(seed), layout.scenes, layout.expressions)
    frames = [frame for row in rows for frame in row]
    renderings = [render(model, identity, frame, layout.size) for frame in frames]
    vertices = _tracked_vertices()
    tracks = [track(model, identity, frame, vertices) for frame in frames]
    rng = np.random.default_rng([JITTER_STREAM, seed])
    prepared = [condition_of(rendering, rng) for rendering in renderings]
    return {
        "image": np.stack([r.image.transpose(2, 0, 1) for r in renderings]),
        "condition": np.stack([condition for condition, _ in prepared]),
        "mask": np.stack([np.packbits(mask) for _, mask in prepared]),
        "au": np.stack([r.au for r in renderings]),
        "points": np.stack([each.points for each in tracks]).astype(np.float16),
        "seen": np.stack([each.seen for each in tracks]),
        "seed": np.array(seed),
    }


def condition_of(rendering: Rendering, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Background + pose picture [3,S,S] uint8 and its mask [S,S] bool; draws in a fixed order."""
    size = len(rendering.image)
    scale = size / REFERENCE_SIZE
    jaw, points5 = rendering.jaw.astype(np.float64), rendering.points5.astype(np.float64)
    down = points5[3:].mean(0) - points5[:2].mean(0)
    down /= np.linalg.norm(down)
    dilation = scale * rng.integers(DILATION[0], DILATION[1] + 1)
    extension = scale * rng.integers(EXTENSION[0], EXTENSION[1] + 1)
    face = torch.from_numpy(rendering.edit_mask).float()[None, None]
    mask = grow_mask(face, (down[0], down[1]), dilation, extension)[0, 0].numpy() > 0.5
    jaw += scale * (rng.normal(0, COMMON_SHIFT, 2) + rng.normal(0, SINGLE_SHIFT, (17, 2)))
    points5 += scale * rng.normal(0, ANCHOR_SHIFT, (5, 2))
    kept = np.where(mask, 0, rendering.image.transpose(2, 0, 1))
    condition = (kept + 255 * _dots(jaw, points5, size)).clip(0, 255).round().astype(np.uint8)
    return condition, mask


def _dots(jaw: np.ndarray, points5: np.ndarray, size: int) -> np.ndarray:
    """Jaw dots [3,size,size] float 0..1 for points in pixels of a picture of ``size``."""
    enlarge = DOTS_SIZE / size
    drawn = torch.from_numpy(jaw_dots(jaw * enlarge, points5 * enlarge, DOTS_SIZE))
    reduced: np.ndarray = F.adaptive_avg_pool2d(drawn.permute(2, 0, 1), size).numpy()
    return reduced


def _write(path: Path, arrays: Arrays, layout: Layout) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **arrays, scenes=np.array(layout.scenes))  # type: ignore[arg-type]


if __name__ == "__main__":
    raise SystemExit(main())
