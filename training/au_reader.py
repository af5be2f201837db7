"""A network that reads AU changes, for an objective that compares what it reads.

    python -m magicface_training.au_reader --data SHARDS --out FILE

It is the synthetic protocol's regressor (see ``au_regressor.py``), but trained on the people that
checkpoints are trained on and on other cuts of their pictures, so that a checkpoint is never
measured by the network that taught it. Without its opinion a mouth corner that is half a pixel off
costs next to nothing, though it shows another unit than the one that was asked for.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from magicface_core.errors import MagicFaceError
from magicface_core.evaluation.au_regressor import (
    CHIP_SIZE,
    AURegressor,
    load_regressor,
    save_regressor,
)
from magicface_core.files import check_destination

from .au_regressor import Faces, Recipe, train
from .data.edit_sets import EditSets
from .data.windows import GRID
from .run_settings import ObjectiveConfig
from .settings import ConfigError

logger = logging.getLogger(__name__)
HELD_OUT = 20
"""One person in so many is kept to measure the reader on."""
SEED = 101
"""Not the protocol's regressor's."""
STEPS = 1500


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="au_reader", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of rendered edit sets")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default {STEPS}")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        check_destination(args.out)
        make(args.data, args.out, Recipe(steps=args.steps, seed=SEED))
    except MagicFaceError as error:
        logger.error("au_reader: %s", error)
        return 2
    return 0


def make(data: Path, path: Path, recipe: Recipe) -> None:
    """Trains on the shards of a folder, measures and writes."""
    torch.set_num_threads(1)
    sets = EditSets(data)
    faces = faces_of(sets)
    taught = torch.arange(len(sets)).repeat_interleave(sets.scenes) % HELD_OUT != 0
    network = train(Faces(faces.chips[taught], faces.aus[taught]), recipe, cut_window)
    error = reading_error(network, Faces(faces.chips[~taught], faces.aus[~taught]))
    logger.info("mean squared error on people kept out: %.3f", error)
    save_regressor(network, path, {"held_out": {"mse": error}, "recipe": asdict(recipe)})


def faces_of(sets: EditSets) -> Faces:
    """Every scene as a person of its own, in pictures with room for `cut_window`."""
    side = CHIP_SIZE + 2 * GRID
    pictures = torch.from_numpy(_middle(sets.image, side))
    shape = (len(sets) * sets.scenes, sets.expressions)
    return Faces(
        pictures.reshape(*shape, 3, side, side), torch.from_numpy(sets.au.reshape(*shape, -1))
    )


def cut_window(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Chips [...,80,80] of [...,96,96], as far off the middle as training's windows are."""
    top, left = (GRID * int(rng.integers(3)) for _ in range(2))
    return pictures[..., top : top + CHIP_SIZE, left : left + CHIP_SIZE]


@torch.no_grad()
def reading_error(network: AURegressor, faces: Faces) -> float:
    """Mean squared error of the changes read from each person's first picture on."""
    chips = central_chips(faces.chips).float() / 255
    read = torch.stack([network(one[:1].expand(len(one), -1, -1, -1), one) for one in chips])
    wrong = read - (faces.aus - faces.aus[:, :1])
    return round(float(wrong[:, 1:].square().mean()), 4)


def reader_for(objectives: Sequence[ObjectiveConfig], side: int) -> AURegressor | None:
    """The frozen reader of a run's objectives, on pictures of ``side`` pixels; None where unused.

    Raises:
        CheckpointError: its file is missing, damaged or of another format.
        ConfigError: no file is named, or pictures are too small to read.
    """
    used = [each for each in objectives if each.au_weight]
    if not used:
        return None
    if side < CHIP_SIZE:
        raise ConfigError(
            f"objective.au_weight reads faces in pictures of {CHIP_SIZE} pixels or more, but these "
            f"have {side}; set it to 0, or raise data.window or the size of the pictures"
        )
    if not used[0].au_reader:
        raise ConfigError(
            "objective.au_weight needs objective.au_reader: make the file with "
            "python -m magicface_training.au_reader, or set the weight to 0"
        )
    return load_regressor(Path(used[0].au_reader)).requires_grad_(False)


def central_chips(pictures: Tensor) -> Tensor:
    """The middle [...,80,80] of pictures [...,H,W] or windows of them."""
    top, left = ((length - CHIP_SIZE) // 2 for length in pictures.shape[-2:])
    return pictures[..., top : top + CHIP_SIZE, left : left + CHIP_SIZE]


def _middle(pictures: np.ndarray, side: int) -> np.ndarray:
    top, left = ((length - side) // 2 for length in pictures.shape[-2:])
    return np.ascontiguousarray(pictures[..., top : top + side, left : left + side])


if __name__ == "__main__":
    raise SystemExit(main())
