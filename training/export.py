"""Make a checkpoint of a training state.

    magicface-export runs/paper --out checkpoint                  # a folder as the release has it
    magicface-export runs/paper --out magicface.safetensors       # everything in one file

Both load in ``MagicFace.load``, in ``magicface edit --checkpoint`` and in the nodes.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from magicface_core.errors import MagicFaceError, OutputError
from magicface_core.files import cannot_write
from magicface_core.network import merge_checkpoint, save_checkpoint
from magicface_core.network.info import CheckpointInfo

from .comparison import config_hash
from .config import TrainConfig, parse_config
from .initialise import Start, initialise
from .settings import ConfigError
from .state import AVERAGE, NETWORKS, latest, verify

logger = logging.getLogger(__name__)
TYPES = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}
SUFFIX = ".safetensors"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="magicface-export", description=__doc__.splitlines()[0])
    parser.add_argument("state", type=Path, help="a state folder, or a run's folder: its newest")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder to write, or a file ending in .safetensors"
    )
    parser.add_argument(
        "--weights",
        choices=("average", "trained"),
        help="default: the moving average where the state has one",
    )
    parser.add_argument("--dtype", choices=sorted(TYPES), default="fp16")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="section.key=value",
        help="override a setting of the state, such as model.start_folder where that has moved",
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        folder = find_state(args.state)
        path = export_state(folder, args.out, args.weights, TYPES[args.dtype], args.set)
    except MagicFaceError as error:
        parser.exit(2, f"magicface-export: {error}\n")
    logger.info("checkpoint in %s", path)
    return 0


def find_state(place: Path) -> Path:
    """``place`` where it is a state, else the newest whole state in it."""
    if place.name.startswith("state-"):
        return place
    folder = latest(place)
    if folder is None:
        raise ConfigError(f"{place} holds no state; give a run's folder, or one of its state-*")
    return folder


def export_state(
    folder: Path,
    out: Path,
    weights: str | None = None,
    dtype: torch.dtype = torch.float16,
    overrides: Sequence[str] = (),
) -> Path:
    """The weights of a state as a checkpoint; returns ``out``.

    Args:
        folder: a state.
        out: folder, or file ending in .safetensors; neither may exist.
        weights: "average" or "trained"; default the average where the state has one.
        dtype: floating type of the networks' weights.
        overrides: as for ``load_config``, on the state's configuration.

    Raises:
        StateError: the state is damaged.
        ConfigError: what it started from is not where it was, or it has no average.
        OutputError: something is at ``out`` already, or it cannot be written.
    """
    if out.exists():
        raise OutputError(f'"{out}" exists; choose another name.')
    tree = verify(folder)
    averaged = (folder / AVERAGE).is_file()
    if weights == "average" and not averaged:
        raise ConfigError(
            f"{folder} has no average (optim.ema was 'off'); export --weights trained"
        )
    config = parse_config(tree["config"], overrides)
    start = initialise(config)
    values = load_file(folder / NETWORKS)
    use = "average" if averaged and weights != "trained" else "trained"
    if use == "average":
        values |= load_file(folder / AVERAGE)
    start.networks.load_state_dict(values)
    facts = {"fingerprint": tree["fingerprint"], "weights": use, "versions": tree["versions"]}
    return write_checkpoint(out, start, config, int(tree["step"]), dtype, facts)


def write_checkpoint(
    out: Path,
    start: Start,
    config: TrainConfig,
    step: int,
    dtype: torch.dtype = torch.float16,
    facts: dict[str, Any] | None = None,
) -> Path:
    """The networks of ``start`` as they are now as a checkpoint that ``MagicFace.load`` reads.

    It appears whole or not at all, and a folder of that name is replaced; ``facts`` go into
    ``magicface.json``.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = out.with_name(f".{out.name}.partial")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _write_folder(folder, start, _info(start, config, step, facts or {}), dtype)
        if out.suffix == SUFFIX:
            return merge_checkpoint(folder, out)
        if out.exists():
            shutil.rmtree(out)
        os.replace(folder, out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return out


def _write_folder(folder: Path, start: Start, info: CheckpointInfo, dtype: torch.dtype) -> None:
    networks = start.networks
    save_checkpoint(
        folder,
        denoiser=networks.denoiser,
        id_encoder=networks.id_encoder,
        vae=start.vae,
        prompt_embeds=start.prompt_embeds,
        scheduler_config=start.scheduler_config,
        info=info,
        controller=networks.controller,
        dtype=dtype,
    )


def _info(start: Start, config: TrainConfig, step: int, facts: dict[str, Any]) -> CheckpointInfo:
    training = {
        **start.info.training,
        "steps": step,
        "config": dataclasses.asdict(config),
        "config_sha256": config_hash(config),
        **facts,
    }
    return dataclasses.replace(start.info, training=training)


if __name__ == "__main__":
    raise SystemExit(main())
