"""Saving and resuming a run.

A state folder ``state-<step>`` holds safetensors and JSON, except the optimiser's moments, which
torch writes and reads with ``weights_only=True``. It is filled under a temporary name and renamed
when complete; ``trainer.json`` keeps the checksum of each file, and a folder
that does not match is passed over for the one before it. So a run that is killed at any moment
loses at most the steps since the last save.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # what torch raises for anything but tensors
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from magicface_core.errors import MagicFaceError, OutputError
from magicface_core.files import UNFINISHED, file_sha256, whole_file, write_file
from magicface_core.network.streaming import write_tensors

from .averaging import WeightAverage
from .folders import flush_folder
from .networks import Networks
from .settings import ConfigError

logger = logging.getLogger(__name__)
FORMAT = 1
NETWORKS, AVERAGE = "networks.safetensors", "average.safetensors"
OPTIMIZER, TRAINER = "optimizer.pt", "trainer.json"
LEFTOVERS = ("partial-*", UNFINISHED)  # of runs that were killed while they saved


class StateError(MagicFaceError):
    """A state that cannot be written, or none that can be read."""


@dataclass
class TrainState:
    """What changes during training.

    average  None where it is off, and on all processes but the main one
    scaler   the loss scale of fp16, else None
    """

    networks: Networks
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None
    step: int = 0
    scaler: torch.amp.GradScaler | None = None


@dataclass(frozen=True)
class Facts:
    """What ``trainer.json`` says about the run beside the step.

    config          all settings
    fingerprint     of the training data
    units_per_step  identity images of a step, over all processes and accumulated micro-batches
    versions        of the packages
    """

    config: dict[str, Any]
    fingerprint: str
    units_per_step: int
    versions: dict[str, str] = field(default_factory=dict)


def states(output: Path) -> list[Path]:
    """A run's complete states, oldest first; their contents are not looked at."""
    return sorted(path for path in output.glob("state-*") if path.is_dir())


def latest(output: Path) -> Path | None:
    """The newest state that is whole; warns about those that are not.

    Raises StateError where there are states, but none is whole.
    """
    found = states(output)
    for folder in reversed(found):
        try:
            verify(folder)
        except StateError as error:
            logger.warning("%s; trying the state before it", error)
            continue
        return folder
    if found:
        raise StateError(
            f"none of the {len(found)} states in {output} is whole; remove them to start anew, or "
            "choose another run.output"
        )
    return None


def verify(folder: Path) -> dict[str, Any]:
    """``trainer.json`` of a state whose files match it; else raises StateError."""
    tree = read_trainer(folder)
    for name, expected in tree["files"].items():
        if not (folder / name).is_file() or file_sha256(folder / name) != expected:
            raise StateError(f"{folder / name} is missing or damaged")
    return tree


def read_trainer(folder: Path) -> dict[str, Any]:
    """``trainer.json`` of a state; raises StateError for anything else."""
    try:
        tree: dict[str, Any] = json.loads((folder / TRAINER).read_text(encoding="utf-8"))
        parts = (int(tree["step"]), dict(tree["config"]), dict(tree["files"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StateError(f"{folder} has no readable {TRAINER} ({error})") from error
    if tree.get("format") != FORMAT or not parts[2]:
        raise StateError(f"{folder} is a state of another version of this package")
    return tree


def save(output: Path, state: TrainState, facts: Facts, keep: int) -> Path:
    """Write ``state-<step>`` and drop all but the newest ``keep``.

    Raises StateError, with the states before as they were, where the disk does not take it.
    """
    folder = output / f"state-{state.step:08d}"
    temporary = output / f"partial-{state.step:08d}"
    try:
        temporary.mkdir(parents=True)
        _check_room(output, state)
        _write(temporary, state, facts)
        _replace(temporary, folder)
    except (OSError, OutputError, RuntimeError) as error:  # torch.save raises RuntimeError
        shutil.rmtree(temporary, ignore_errors=True)
        good = states(output)
        raise StateError(
            f"{folder} cannot be written: {error}. "
            + (f"{good[-1]} is untouched; make" if good else "Make")
            + " room or set run.output elsewhere, then go on with --resume"
        ) from error
    for old in states(output)[:-keep]:
        # Renamed first: a folder half deleted must not pass for a state.
        shutil.rmtree(old.rename(output / f"partial-{old.name}"))
    return folder


def _write(folder: Path, state: TrainState, facts: Facts) -> None:
    write_tensors(folder / NETWORKS, state.networks.state_dict())
    if state.average is not None:
        write_tensors(folder / AVERAGE, state.average.shadow)
    with whole_file(folder / OPTIMIZER) as unfinished, unfinished.open("wb") as file:
        torch.save(state.optimizer.state_dict(), file)
    files = sorted(path for path in folder.iterdir())
    tree = {
        "format": FORMAT,
        "step": state.step,
        "config": facts.config,
        "fingerprint": facts.fingerprint,
        "units_per_step": facts.units_per_step,
        "versions": facts.versions,
        "scaler": None if state.scaler is None else state.scaler.state_dict(),
        "files": {path.name: file_sha256(path) for path in files},
    }
    write_file(folder / TRAINER, json.dumps(tree, indent=2))
    flush_folder(folder)


def _replace(temporary: Path, folder: Path) -> None:
    """Put the new folder in place; a damaged one of the same step goes first."""
    if folder.exists():
        shutil.rmtree(folder.rename(folder.with_name(f"partial-{folder.name}")))
    os.replace(temporary, folder)
    flush_folder(folder.parent)


def _check_room(output: Path, state: TrainState) -> None:
    """Raise OSError early where the state cannot fit; quantised moments are left out."""
    average = {} if state.average is None else state.average.shadow
    tensors: list[Tensor] = [*state.networks.state_dict().values(), *average.values()]
    for moments in state.optimizer.state_dict()["state"].values():
        tensors += [value for value in moments.values() if type(value) is Tensor]
    needed, free = sum(t.nbytes for t in tensors), shutil.disk_usage(output).free
    if needed > free:
        raise OSError(f"it takes {needed / 1e9:.3g} GB, and {free / 1e9:.3g} GB are free")


def restore(folder: Path, state: TrainState) -> None:
    """Load a state written by ``save`` in place.

    Raises StateError where the folder cannot be read here, ConfigError where the networks are
    others.
    """
    tree = read_trainer(folder)
    try:
        state.networks.load_state_dict(load_file(folder / NETWORKS))
        saved = torch.load(folder / OPTIMIZER, map_location="cpu", weights_only=True)
        state.optimizer.load_state_dict(saved)
        if state.average is not None and (folder / AVERAGE).is_file():
            state.average.load(load_file(folder / AVERAGE))
    except UnpicklingError as error:
        raise StateError(
            f"{folder / OPTIMIZER} holds more than tensors and is not read: {error}"
        ) from error
    except (OSError, SafetensorError) as error:
        raise StateError(
            f"{folder} cannot be read here ({error}); all nodes need to see run.output"
        ) from error
    except (RuntimeError, ValueError, KeyError) as error:
        raise ConfigError(
            f"{folder} holds other networks or another optimiser than the configuration: {error}"
        ) from error
    if state.scaler is not None and tree["scaler"]:
        state.scaler.load_state_dict(tree["scaler"])
    state.step = int(tree["step"])
