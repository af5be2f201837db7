"""Train the AU regressor of the synthetic protocol on exact labels.

    python -m magicface_training.au_regressor \
        --out training/evaluation/assets/au_regressor.safetensors

Renders people that no checkpoint is trained or tested on, learns the change of the twelve units
between any two pictures of one scene (see ``training/evaluation/exact/au_regressor.py``), measures
itself on further people, and writes weights with that error in the metadata. One thread, about
ten minutes; the same command on the same machine gives the same file.

Others are for ``objective.au_readers`` (see ``au_readers.py``), so that no checkpoint is measured
by a network that taught it: ``--teaching`` makes one of yet other people and another seed, and
``--data SHARDS --seed N`` makes one of rendered edit sets.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.aus import AU_ORDER
from magicface_core.errors import MagicFaceError
from magicface_core.files import check_destination

from .au_faces import SINGLES, UNITS, Faces, edit_set_faces, render_faces
from .data.edit_sets import EditSets
from .evaluation.exact.au_regressor import AURegressor, save_regressor
from .synthetic import HeadModel

logger = logging.getLogger(__name__)
LEAST = 1e-9
"""In place of no squares at all."""


@dataclass(frozen=True)
class Recipe:
    """Everything that shapes the result besides the code."""

    identities: int = 360
    held_out: int = 24
    steps: int = 1600
    batch: int = 48
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    neutral: float = 0.4
    """Share of pairs that start from the neutral picture, as most edits do."""
    blur: float = 0.5
    """Share of edits that are blurred, so that a soft edit is read by what it shows."""
    largest_blur: float = 1.5
    """Standard deviation in pixels of a chip."""
    seed: int = 0


@dataclass(frozen=True)
class People:
    """First identity seeds: of the training split, far above those that checkpoints learn from."""

    first: int = 1_000_000
    first_held_out: int = 1_100_000


HELD_OUT = 20
"""Of edit sets, one person in so many is kept to measure the network on."""
TEACHING_PEOPLE = People(1_200_000, 1_300_000)
TEACHING_RECIPE = Recipe(identities=300, steps=1400, seed=101)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="au_regressor", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--teaching", action="store_true", help="people for training to ask")
    source.add_argument("--data", type=Path, help="folder of rendered edit sets to learn from")
    for name in ("identities", "held_out", "steps", "seed"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="instead of the recipe's")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        check_destination(args.out)
        if args.data is not None:
            make_of_edit_sets(args.out, chosen(args), args.data)
        else:
            make(args.out, chosen(args), TEACHING_PEOPLE if args.teaching else People())
    except MagicFaceError as error:
        logger.error("au_regressor: %s", error)
        return 2
    return 0


def chosen(args: argparse.Namespace) -> Recipe:
    """The recipe that the command line asks for."""
    recipe = TEACHING_RECIPE if args.teaching else Recipe()
    given = {name: getattr(args, name) for name in ("identities", "held_out", "steps", "seed")}
    return replace(recipe, **{name: value for name, value in given.items() if value is not None})


def make(path: Path, recipe: Recipe, people: People) -> None:
    """Renders, trains, measures and writes."""
    torch.set_num_threads(1)
    model = HeadModel.load()
    seeds = range(people.first, people.first + recipe.identities)
    further = range(people.first_held_out, people.first_held_out + recipe.held_out)
    faces, held_out = render_faces(model, seeds), render_faces(model, further)
    network = train(faces, recipe)
    _save(network, path, recipe, held_out_error(network, held_out))


def make_of_edit_sets(path: Path, recipe: Recipe, data: Path) -> None:
    """Trains on most people of a folder, measures on the others and writes."""
    torch.set_num_threads(1)
    sets = EditSets(data)
    faces = edit_set_faces(sets)
    taught = torch.arange(len(sets)).repeat_interleave(sets.scenes) % HELD_OUT != 0
    network = train(faces.of(taught), recipe)
    people = int((~taught).sum()) // sets.scenes
    error = reading_error(network, faces.of(~taught))
    _save(network, path, recipe, {"people": people, "mse": error})


def _save(network: AURegressor, path: Path, recipe: Recipe, found: dict[str, object]) -> None:
    logger.info("held-out people: %s", json.dumps(found))
    save_regressor(network, path, {"held_out": found, "recipe": asdict(recipe)})


def train(faces: Faces, recipe: Recipe) -> AURegressor:
    """Least squares on random pairs of pictures, one cycle of the learning rate."""
    torch.manual_seed(recipe.seed)
    network = AURegressor().train()
    rng = np.random.default_rng(recipe.seed)
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.learning_rate, total_steps=recipe.steps, pct_start=0.1
    )
    total = 0.0
    for step in range(1, recipe.steps + 1):
        source, edit, change = draw_batch(faces, recipe, rng)
        loss = F.mse_loss(network(source, edit), change)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        total += loss.item()
        if step % 100 == 0:
            logger.info("step %d, mean squared error %.3f", step, total / 100)
            total = 0.0
    return network.eval()


def draw_batch(
    faces: Faces, recipe: Recipe, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Sources and edits [B,3,80,80] 0..1 and changes [B,12], mirrored, shifted and blurred."""
    people, expressions = faces.aus.shape[:2]
    who = rng.integers(people, size=recipe.batch)
    before = rng.integers(expressions, size=recipe.batch)
    before[rng.random(recipe.batch) < recipe.neutral] = 0
    after = rng.integers(expressions, size=recipe.batch)
    change = faces.aus[who, after] - faces.aus[who, before]
    chips = torch.stack([faces.chips[who, before], faces.chips[who, after]]).float() / 255
    mirrored = torch.from_numpy(rng.random(recipe.batch) < 0.5)
    chips[:, mirrored] = chips[:, mirrored].flip(-1)
    across, down = (int(rng.integers(-2, 3)) for _ in range(2))
    source, edit = torch.roll(chips, (down, across), (-2, -1))
    blurred = torch.from_numpy(rng.random(recipe.batch) < recipe.blur)
    edit[blurred] = gaussian_blur(edit[blurred], rng.uniform(0.3, recipe.largest_blur))
    return source, edit, change


def gaussian_blur(pictures: Tensor, sigma: float) -> Tensor:
    """[B,3,H,W] smoothed, the border repeated."""
    reach = 4
    places = torch.arange(-reach, reach + 1, dtype=torch.float32)
    kernel = torch.exp(-places.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).repeat(3, 1)
    wide = F.pad(pictures, (reach,) * 4, mode="replicate")
    wide = F.conv2d(wide, kernel[:, None, None], groups=3)
    return F.conv2d(wide, kernel[:, None, :, None], groups=3)


@torch.no_grad()
def reading_error(network: Callable[[Tensor, Tensor], Tensor], faces: Faces) -> float:
    """Mean squared error of all changes, read from the first picture of each scene on."""
    read, change = _read_changes(network, faces)
    return round(float((read - change)[:, 1:].square().mean()), 4)


@torch.no_grad()
def held_out_error(network: Callable[[Tensor, Tensor], Tensor], faces: Faces) -> dict[str, object]:
    """How well exact answers are read, starting from the neutral picture of each person.

    mse      mean squared error of all expressions and units, and ``unit_mse`` of each unit
    slope    per unit: change read per unit changed, single units, through the origin
             (0 for a unit that nobody shows)
    leakage  largest change read of another unit per unit changed, and ``leaks`` who into whom
    """
    read, change = _read_changes(network, faces)
    error = (read - change)[:, 1:].square()
    singles, seen = change[:, 1 : 1 + SINGLES], read[:, 1 : 1 + SINGLES]
    squares = singles.square().sum((0, 1)).clamp_min(LEAST)[:, None]
    slopes = torch.einsum("nei,nej->ij", singles, seen) / squares
    leaks = slopes.abs().fill_diagonal_(0)
    row, column = divmod(int(leaks.argmax()), UNITS)
    return {
        "people": len(faces.chips),
        "mse": round(float(error.mean()), 4),
        "unit_mse": _by_unit(error.mean((0, 1))),
        "slope": _by_unit(slopes.diagonal()),
        "leakage": round(float(leaks.max()), 4),
        "leaks": f"AU{AU_ORDER[row]} into AU{AU_ORDER[column]}",
    }


def _read_changes(
    network: Callable[[Tensor, Tensor], Tensor], faces: Faces
) -> tuple[Tensor, Tensor]:
    """Changes [n,E,12] from everyone's first picture on: as read, and as labelled."""
    chips = faces.chips.float() / 255
    read = torch.stack([network(one[:1].expand(len(one), -1, -1, -1), one) for one in chips])
    return read, faces.aus - faces.aus[:, :1]


def _by_unit(values: Tensor) -> dict[str, float]:
    return {
        f"AU{unit}": round(float(value), 4) for unit, value in zip(AU_ORDER, values, strict=True)
    }


if __name__ == "__main__":
    raise SystemExit(main())
