"""Render what a painter learns from: exact edits, and what the denoiser makes of each.

    python -m magicface_training.data.painted_sets --checkpoint FOLDER --out FOLDER

Each identity seed gives one scene with `EXPRESSIONS` expressions, all frames under one photographic
look (see ``looks.py``), and the edits between them as the checkpoint predicts them: its vectors of
movement and its change of colours. Shards appear whole or not at all, and existing ones are kept,
so the command can be interrupted and repeated, also with more identities.

The renderer hides the upper teeth behind the lip; with many real people they show as soon as lips
part. So under a photographic look the upper teeth hang lower and are lighter, by amounts of each
person. People without a look, a quarter, are as rendered, teeth included.
"""

from __future__ import annotations

import argparse
import functools
import logging
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from magicface_core.aus import AU_ORDER
from magicface_core.editing.identity import encode_identities
from magicface_core.editing.sampling import encode_background, sample
from magicface_core.errors import MagicFaceError
from magicface_core.files import whole_file
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.pictures.resampling import reduce_to

from ..synthetic import (
    HeadModel,
    Identity,
    Rendering,
    exact_edit,
    render,
    sample_expression,
    sample_identity,
    split_seeds,
)
from ..synthetic.head.regions import Part
from ..synthetic.sampling import sample_scene, sample_single
from .edit_sets import DataError
from .looks import Look
from .render import condition_of

logger = logging.getLogger(__name__)
SHARD = 10
EXPRESSIONS = 8
SIZE = 320
"""Side in pixels of the rendered crop, the painter's scale."""
COLUMNS, ROWS = slice(64, 256), slice(16, 304)
"""What is kept of it: the face."""
OFFSET = 4000
"""The first people of a split are those that the denoiser learned from; it knows them too well."""
STREAM, JITTER_STREAM = 53, 98
"""First words of the random streams of a person's scene, and of the conditions' jitter."""
LOOK_SHARE = 0.75
"""Share of people under a photographic look."""
POSE, ZOOM = 26.0, (1.0, 1.3)
"""Largest yaw in degrees, and how close scenes are."""
TEETH_DROP, TEETH_GAIN = (2.5, 8.0), (1.2, 1.9)
"""How much lower (mm) and lighter the upper teeth are under a photographic look."""
NEUTRAL_FIRST = 0.6
MOUTHS, SINGLES, SLIGHT = 0.5, 0.22, 0.08
"""Shares of opened mouths, single units and slight edits among the answers; the rest is random."""
SLIGHT_STRENGTH = 0.15

Arrays = dict[str, np.ndarray]


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m magicface_training.data.painted_sets",
        description="Render what a painter learns from.",
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="the editor, done")
    parser.add_argument("--out", type=Path, required=True, help="folder of the shards")
    parser.add_argument("--split", choices=("train", "validation"), default="train")
    parser.add_argument("--identities", type=int, default=320)
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        seeds = split_seeds(args.split, OFFSET, args.identities)
        write_shards(args.out, seeds, args.checkpoint, args.workers)
    except MagicFaceError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


def write_shards(folder: Path, seeds: range, checkpoint: Path, workers: int = 1) -> list[Path]:
    """Render what is missing of the people ``seeds``; returns the shards' paths in order.

    Raises:
        DataError: the folder cannot be written.
        CheckpointError: the checkpoint cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"cannot create {folder}: {error.strerror}; choose another folder"
        ) from error
    parts = [seeds[first : first + SHARD] for first in range(0, len(seeds), SHARD)]
    shards = {folder / f"shard_{part.start:08d}.npz": part for part in parts}
    missing = [(path, part) for path, part in shards.items() if not path.is_file()]
    logger.info("%d shards in %s, %d to render", len(shards), folder, len(missing))
    context = multiprocessing.get_context("spawn")  # a forked torch may hang
    with ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        jobs = [pool.submit(_write_shard, path, part, checkpoint) for path, part in missing]
        for job in tqdm(jobs, unit="shard"):
            job.result()
    return list(shards)


def _write_shard(path: Path, seeds: range, checkpoint: Path) -> None:
    rows = [painted_set(seed, checkpoint) for seed in seeds]
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, **{key: np.stack([row[key] for row in rows]) for key in rows[0]})  # type: ignore[arg-type]


@functools.cache
def _head_model() -> HeadModel:
    """Loaded once in each process; never changed."""
    return HeadModel.load()


@functools.cache
def _checkpoint(folder: Path) -> Checkpoint:
    """Likewise."""
    return load_checkpoint(folder, device="cpu")


def painted_set(seed: int, checkpoint: Path) -> Arrays:
    """One person as the arrays of a shard.

    image [E,H,W,3] uint8 and classes [E,H,W] uint8 of the frames, kept part; au [E,12]; pairs [P,2]
    from and to which frame each edit goes; vectors [P,2,m,m] and change [P,3,R,R] float16, the
    checkpoint's answers.
    """
    rng = np.random.default_rng([STREAM, seed])
    model = _head_model()
    identity = sample_identity(model, seed)
    scene = sample_scene(rng, POSE, ZOOM)
    look = Look.sample(rng) if rng.random() < LOOK_SHARE else None
    if look is not None:
        identity = show_upper_teeth(model, identity, rng)
    frames = [exact_edit(scene, au) for au in sample_expressions(rng)]
    renderings = [render(model, identity, frame, SIZE) for frame in frames]
    if look is not None:
        renderings = [replace(each, image=look.apply(each.image)) for each in renderings]
    pairs = sample_pairs(rng)
    vectors, change = predictions(_checkpoint(checkpoint), renderings, pairs, seed)
    return {
        "image": np.stack([each.image[ROWS, COLUMNS] for each in renderings]),
        "classes": np.stack([each.classes[ROWS, COLUMNS] for each in renderings]),
        "au": np.stack([each.au for each in renderings]),
        "pairs": pairs,
        "vectors": vectors,
        "change": change,
        "seed": np.array(seed),
    }


def show_upper_teeth(model: HeadModel, identity: Identity, rng: np.random.Generator) -> Identity:
    """The person with upper teeth that hang lower and are lighter."""
    vertices = identity.vertices.clone()
    upper = model.part == Part.TEETH_UPPER
    vertices[upper, 2] -= rng.uniform(*TEETH_DROP) * 1e-3 * identity.scale
    teeth = (identity.appearance.teeth * rng.uniform(*TEETH_GAIN)).astype(np.float32)
    return replace(
        identity, vertices=vertices, appearance=replace(identity.appearance, teeth=teeth)
    )


def sample_pairs(rng: np.random.Generator) -> np.ndarray:
    """Edits [P,2] between expressions: the first to all others, and of two others to two each."""
    pairs = [(0, other) for other in range(1, EXPRESSIONS)]
    for source in rng.choice(np.arange(1, EXPRESSIONS), 2, replace=False):
        others = [other for other in range(1, EXPRESSIONS) if other != source]
        pairs += [(source, 0), (source, int(rng.choice(others)))]
    return np.array(pairs, np.int16)


def sample_mouth(rng: np.random.Generator) -> np.ndarray:
    """Intensities [12] of an expression with parted lips, half of them smiling."""
    au = np.zeros(len(AU_ORDER), np.float32)

    def draw(number: int, least: float, most: float, chance: float = 1.0) -> None:
        if rng.random() < chance:
            au[AU_ORDER.index(number)] = rng.uniform(least, most)

    draw(25, 0.7, 5)
    draw(26, 0, 5, 0.4)
    if rng.random() < 0.5:
        draw(12, 1, 5)
        draw(6, 0, 4)
    for number in (15, 17, 20):
        draw(number, 0, 4, 0.1)
    jaw, lips = AU_ORDER.index(26), AU_ORDER.index(25)
    au[lips] = max(au[lips], 0.5 * au[jaw])
    return au


def sample_expressions(rng: np.random.Generator) -> list[np.ndarray]:
    """Intensities [12] of the frames of a scene: mostly neutral first, wide eyes in the last."""
    first = np.zeros(len(AU_ORDER), np.float32)
    if rng.random() > NEUTRAL_FIRST:
        first = sample_mouth(rng) if rng.random() < 0.6 else sample_expression(rng)
    found = [first]
    while len(found) < EXPRESSIONS:
        kind = rng.random()
        if kind < MOUTHS:
            found.append(sample_mouth(rng))
        elif kind < MOUTHS + SINGLES:
            found.append(sample_single(rng))
        elif kind < MOUTHS + SINGLES + SLIGHT:
            slight = first + SLIGHT_STRENGTH * (sample_expression(rng) - first)
            found.append(slight.astype(np.float32))
        else:
            found.append(sample_expression(rng))
    found[-1][AU_ORDER.index(5)] = rng.uniform(2, 5)
    return found


def predictions(
    checkpoint: Checkpoint, renderings: Sequence[Rendering], pairs: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Vectors [P,2,m,m] and changes of colour [P,3,R,R], float16, of the edits ``pairs`` [P,2].

    Raises:
        DataError: the checkpoint's autoencoder holds no movements.
    """
    vae = checkpoint.vae
    if not isinstance(vae, PatchAutoencoder) or not vae.config.motion:
        raise DataError(
            f"checkpoint {checkpoint.info.name!r} moves nothing; give one whose autoencoder is a "
            "PatchAutoencoder with motion"
        )
    rng = np.random.default_rng([JITTER_STREAM, seed])
    vectors, changes = [], []
    order: list[int] = []
    for source in dict.fromkeys(pairs[:, 0].tolist()):
        rows = np.flatnonzero(pairs[:, 0] == source)
        answers = [renderings[other].au for other in pairs[rows, 1]]
        z, unedited = _edit(checkpoint, renderings[source], np.stack(answers), rng, seed)
        order += rows.tolist()
        vectors.append(vae.vectors(z))
        changes.append(vae.change(z, unedited))
    place = np.argsort(order)
    moved, recoloured = (torch.cat(each).half().numpy()[place] for each in (vectors, changes))
    return moved, recoloured


@torch.no_grad()
def _edit(
    checkpoint: Checkpoint,
    rendering: Rendering,
    answers: np.ndarray,
    rng: np.random.Generator,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Latents of the edits of one frame to intensities [B,12], and the frame's own."""
    resolution, size = checkpoint.info.resolution, checkpoint.latent_size
    picture, background = (
        reduce_to(torch.from_numpy(each.copy())[None].float() / 255, resolution)
        for each in (rendering.image.transpose(2, 0, 1), condition_of(rendering, rng)[0])
    )
    identity = encode_identities(checkpoint, picture)
    latents = sample(
        checkpoint,
        identity,
        encode_background(checkpoint, background),
        torch.from_numpy(answers - rendering.au),
        noise=torch.randn(
            (1, checkpoint.latent_channels, size, size),
            generator=torch.Generator().manual_seed(seed),
        ),
    )
    return latents / checkpoint.codec.scaling_factor, identity.latents


if __name__ == "__main__":
    raise SystemExit(main())
