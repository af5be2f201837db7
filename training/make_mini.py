"""Make the embedded checkpoint: ``python -m magicface_training.make_mini --out runs/mini``.

From nothing: renders the training and validation faces and fits the autoencoder; trains both UNets
to paint faces (``mini-start.yaml``); gives the latents movements and trains on, to move skin
instead of painting it (``mini-move.yaml``); trains readers of action units and then the UNets
with them (``mini.yaml``); renders more people under photographic looks, and trains a painter of
opened mouths (``mini-painter.yaml``). Training runs in two processes of one thread each, and
leaves a checkpoint folder. Every step that is already done is skipped, so the command can be
interrupted and repeated. ``--processes`` changes the batch and with it the result.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)
CONFIGS = Path(__file__).resolve().parent / "configs"
TRAIN_IDENTITIES = 2100
VALIDATION_IDENTITIES = 100
READERS = {101: None, 102: "train", 103: "train"}
"""Seeds of the readers of action units, and whose faces they learn from; None: their own."""


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code of the first step that failed, or 0."""
    parser = argparse.ArgumentParser(prog="make_mini", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/mini"), help="folder of the run")
    parser.add_argument("--identities", type=int, default=TRAIN_IDENTITIES)
    parser.add_argument("--validation", type=int, default=VALIDATION_IDENTITIES)
    parser.add_argument("--processes", type=int, default=2, help="training processes")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for command in commands(args.out, args.identities, args.validation, args.processes, args.set):
        logger.info("%s", " ".join(command))
        code = subprocess.run([sys.executable, *command], env=environment(), check=False).returncode
        if code:
            return code
    return 0


def environment() -> dict[str, str]:
    """CPU, one thread per process: on small networks two processes are faster than two threads."""
    return {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", **os.environ}


def commands(
    out: Path, identities: int, validation: int, processes: int, overrides: Sequence[str]
) -> list[list[str]]:
    """The steps as argument lists of the Python interpreter."""
    render = ["-m", "magicface_training.data.render", "--workers", str(processes)]
    counts = {"train": identities, "validation": validation}
    steps = [
        [*render, "--split", split, "--identities", str(count), "--out", str(out / split)]
        for split, count in counts.items()
    ]
    first, second, still = out / "start", out / "move", out / "start" / "autoencoder"
    moving = out / "autoencoder"
    steps += _autoencoder(out, still, ["--width", "0"])
    settings: dict[str, Path] = {"model.autoencoder": still, "run.output": first}
    steps += _part("mini-start", out, settings, processes, overrides)
    steps += _autoencoder(out, moving, ["--width", "0", "--motion", "2", "--start", str(still)])
    settings = {"model.start_folder": _checkpoint(first), "model.wider_autoencoder": moving}
    steps += _part("mini-move", out, {**settings, "run.output": second}, processes, overrides)
    found, teach = _readers(out)
    plain = out / "plain"
    settings = {"model.start_folder": _checkpoint(second), "run.output": plain}
    named = [*overrides, f"objective.au_readers=[{', '.join(map(str, found))}]"]
    steps += teach + _part("mini", out, settings, processes, named)
    return steps + _painter(out, _checkpoint(plain), processes)


def _painter(out: Path, editor: Path, processes: int) -> list[list[str]]:
    """The steps that give the editor its painter, none where it has it."""
    if (_checkpoint(out) / "magicface.json").is_file():
        return []
    sets, given = str(out / "painted"), ["--checkpoint", str(editor)]
    render = ["-m", "magicface_training.data.painted_sets", "--workers", str(processes)]
    paint = ["-m", "magicface_training.painter", "--data", sets, "--out", str(_checkpoint(out))]
    return [[*render, *given, "--out", sets], [*paint, *given]]


def _readers(out: Path) -> tuple[list[Path], list[list[str]]]:
    """Files of the readers, and the steps that make those that are not there."""
    files, steps = [], []
    for seed, source in READERS.items():
        file = out / f"reader-{seed}.safetensors"
        command = ["-m", "magicface_training.au_regressor", "--seed", str(seed)]
        people = ["--teaching"] if source is None else ["--data", str(out / source)]
        files.append(file)
        if not file.is_file():
            steps.append([*command, *people, "--out", str(file)])
    return files, steps


def _checkpoint(output: Path) -> Path:
    return output / "checkpoint"


def _autoencoder(out: Path, folder: Path, options: list[str]) -> list[list[str]]:
    """The step that makes an autoencoder, none where it is made."""
    if (folder / "config.json").is_file():
        return []
    fit = ["-m", "magicface_training.autoencoder", "--steps", "0"]
    return [[*fit, "--data", str(out / "train"), "--out", str(folder), *options]]


def _part(
    name: str, out: Path, folders: dict[str, Path], processes: int, overrides: Sequence[str]
) -> list[list[str]]:
    """The step that trains after ``configs/NAME.yaml``, none where its checkpoint is there."""
    if (_checkpoint(folders["run.output"]) / "magicface.json").is_file():
        return []
    settings = {"data.train": out / "train", "data.validation": out / "validation", **folders}
    sets = [f"{key}={value}" for key, value in settings.items()]
    options = [text for pair in [*sets, *overrides] for text in ("--set", pair)]
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    train = ["-m", "magicface_training.train", "--config", str(CONFIGS / f"{name}.yaml")]
    return [[*launch, *train, "--resume", *options]]


if __name__ == "__main__":
    raise SystemExit(main())
