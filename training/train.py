"""Train MagicFace: ``magicface-train --config FILE.yaml``, or through ``accelerate launch``.

Reads from top to bottom: settings, networks, data, loop, checkpoint. All randomness of a row comes
from the run's seed and the row's place in the run, so a resumed run continues as if it had never
stopped, and processes, workers and accumulation only divide the work.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
from accelerate import Accelerator
from tqdm import tqdm

from magicface_core.errors import MagicFaceError

from .claim import claim_folder
from .config import TrainConfig, load_config
from .data.loading import WaitMeter, batches
from .data.samples import Batch
from .data.sources import open_source
from .export import write_checkpoint
from .interruption import StopRequest
from .run import Run, go_on, make_accelerator, prepare
from .state import LEFTOVERS, save
from .steps import Stepper
from .trackers import Meter, RunLog, start_tracker
from .validation import Validator, validation_config

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="magicface-train", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--config", required=True, help="YAML file with the settings, or a shipped one: paper.yaml"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="override"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest state of the run's folder"
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="resume although settings or data differ from those of the state",
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        train(load_config(args.config, args.set), args.resume, args.accept_changes)
    except MagicFaceError as error:
        parser.exit(2, f"magicface-train: {error}\n")
    return 0


def train(config: TrainConfig, resume: bool = False, accept_changes: bool = False) -> Path:
    """Run training; returns the folder of the exported checkpoint.

    A run that was asked to stop (SIGTERM, SIGINT) saves its state and returns the run's folder.

    Raises:
        ConfigError: settings that cannot be, or that differ from those of the state to resume.
        DataError: the data is missing or damaged.
        NonFiniteError: a loss or gradient is NaN or infinite.
        StateError: a state cannot be written, or none can be read.
        FolderInUseError: another run writes to the run's folder.
        OutputError: the run's folder cannot be written to.
    """
    accelerator = make_accelerator(config)
    with _claimed(accelerator, Path(config.run.output)):
        run = prepare(config, accelerator)
        go_on(run, resume, accept_changes)
        return _run_to_the_end(run)


def _claimed(accelerator: Accelerator, output: Path) -> AbstractContextManager[None]:
    """The run's folder, held by its main process."""
    return claim_folder(output, LEFTOVERS) if accelerator.is_main_process else nullcontext()


def _run_to_the_end(run: Run) -> Path:
    config, accelerator = run.config, run.accelerator
    model, optimizer = accelerator.prepare(run.start.networks, run.state.optimizer)
    stepper = Stepper(accelerator, model, optimizer, run.start, run.scheduler, config)
    start_tracker(accelerator, config.run.tracker, run.facts.config)
    finished = loop(run, stepper)
    place = _finish(run) if finished and accelerator.is_main_process else run.output
    accelerator.end_training()
    return place


def loop(run: Run, stepper: Stepper) -> bool:
    """All steps that are left; False where the run was asked to stop before the last."""
    config, state, accelerator = run.config, run.state, run.accelerator
    log = RunLog(run.output, accelerator, state.step)
    validator = _validator(run)
    waiting = WaitMeter(_micro_batches(run))
    meter = Meter(accelerator.device)
    bar = tqdm(
        total=config.optim.steps,
        initial=state.step,
        disable=not accelerator.is_local_main_process,
    )
    with StopRequest() as request, bar:
        while state.step < config.optim.steps:
            micros = list(itertools.islice(waiting, config.optim.accumulation))
            outcome = stepper.step(state.step, micros, request.signal is not None)
            state.step += 1
            if state.average is not None:
                state.average.update(state.step)
            bar.update()
            meter.add(outcome.values, sum(map(_rows, micros)) * accelerator.num_processes)
            if state.step % config.run.log_every == 0:
                log.write(state.step, meter.read(waiting.waited))
                waiting.reset()
            last = state.step == config.optim.steps
            with meter.paused():
                if validator is not None and state.step % config.run.validate_every == 0:
                    _validate(validator, state.step, log)
                if outcome.stop or last or state.step % config.run.save_every == 0:
                    _save(run)
            if outcome.stop and not last:
                logger.warning("stopped at step %d; go on with --resume", state.step)
                return False
    return True


def _micro_batches(run: Run) -> Iterator[Batch]:
    """What is left of the run for this process."""
    accelerator, optim = run.accelerator, run.config.optim
    return batches(
        run.source,
        run.config,
        run.config.run.seed,
        processes=accelerator.num_processes,
        process=accelerator.process_index,
        accumulation=optim.accumulation,
        start_step=run.state.step,
    )


def _rows(batch: Batch) -> int:
    return len(batch.delta)


def _validator(run: Run) -> Validator | None:
    """On the main process, where there is held-out data."""
    data = run.config.data
    if not (data.validation and run.accelerator.is_main_process):
        return None
    held_out = open_source(data.validation, "validation", validation_config(run.config).data)
    return Validator(
        run.start, run.state.average, held_out, run.scheduler, run.config, run.accelerator.autocast
    )


def _validate(validator: Validator, step: int, log: RunLog) -> None:
    values, grid = validator(step)
    log.write(step, values)
    if grid is not None:
        log.picture(step, "edits", np.asarray(grid))


def _save(run: Run) -> None:
    if run.accelerator.is_main_process:
        save(run.output, run.state, run.facts, run.config.run.keep)


def _finish(run: Run) -> Path:
    """Export the averaged weights as a checkpoint folder."""
    average, config = run.state.average, run.config
    facts = {
        "fingerprint": run.facts.fingerprint,
        "weights": "trained" if average is None else "average",
        "versions": run.facts.versions,
    }
    place = run.output / "checkpoint"
    with nullcontext() if average is None else average.applied():
        folder = write_checkpoint(place, run.start, config, run.state.step, facts=facts)
    logger.info("checkpoint in %s", folder)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
