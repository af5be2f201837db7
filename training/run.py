"""A run before its first step: device, networks, data, optimiser, and the state to go on from."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedDataParallelKwargs, InitProcessGroupKwargs
from accelerate.utils import broadcast_object_list
from diffusers import DDPMScheduler

from .au_readers import readers_for
from .averaging import WeightAverage
from .comparison import as_tree, check_same_run, differences
from .config import TrainConfig
from .data.sources import SampleSource, open_source
from .evaluation.provenance import versions
from .initialise import Start, initialise
from .networks import Networks
from .objective import needs_pictures
from .optimisers import make_optimizer, memory_format
from .settings import ConfigError
from .state import Facts, TrainState, latest, read_trainer, restore, states
from .trackers import check_tracker

logger = logging.getLogger(__name__)
PATIENCE = timedelta(hours=2)  # of processes that wait for the main one to validate and save
TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Run:
    """Everything the loop works with."""

    config: TrainConfig
    accelerator: Accelerator
    start: Start
    scheduler: DDPMScheduler
    source: SampleSource
    state: TrainState
    facts: Facts

    @property
    def output(self) -> Path:
        """The run's folder."""
        return Path(self.config.run.output)


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Device, processes, precision and tracker, and torch's own settings."""
    check_tracker(config.run.tracker)
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    if config.run.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
    return Accelerator(
        mixed_precision=config.optim.mixed_precision,
        log_with=None if config.run.tracker == "none" else config.run.tracker,
        project_dir=config.run.output,
        kwargs_handlers=[
            # Gradients live in the buckets they are exchanged in, which saves a copy of them.
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),
            InitProcessGroupKwargs(timeout=PATIENCE),
        ],
    )


def prepare(config: TrainConfig, accelerator: Accelerator) -> Run:
    """Networks, data and optimiser, before any state is restored."""
    start = initialise(config)
    device, dtype = accelerator.device, TYPES[config.optim.weights]
    start.vae.to(device)
    networks = start.networks.to(device, dtype, memory_format=memory_format(config.optim))
    if config.optim.gradient_checkpointing:
        enable_checkpointing(networks)
    steps = (0, *(stage.start for stage in config.stages))
    objectives = [config.at(step).objective for step in steps]
    shown = True if any(needs_pictures(each, networks) for each in objectives) else None
    source = open_source(config.data.train, "train", config.data, vae=start.vae, pictures=shown)
    check_region(source, start.info.region, config.data.train)
    start.readers = readers_for(objectives, device)
    optimizer = make_optimizer((p for p in networks.parameters() if p.requires_grad), config.optim)
    average = _average(config, networks) if accelerator.is_main_process else None
    units = config.data.identities_per_step * config.optim.accumulation * accelerator.num_processes
    return Run(
        config,
        accelerator,
        start,
        DDPMScheduler.from_config(start.scheduler_config),
        source,
        TrainState(networks, optimizer, average, scaler=accelerator.scaler),
        Facts(as_tree(config), source.fingerprint, units, versions()),
    )


def check_region(source: SampleSource, announced: str, folder: str) -> None:
    """Raise ConfigError where the data black out another region than the checkpoint will announce.

    Inference masks what the checkpoint says; another region would be a picture it never saw.
    """
    if source.region not in ("", announced):
        raise ConfigError(
            f'{folder} blacks out the region "{source.region}", but the checkpoint would announce '
            f'info.region "{announced}"; set info.region to "{source.region}", or prepare the '
            f"videos with --region {announced}"
        )


def enable_checkpointing(networks: Networks) -> None:
    """Non-reentrant gradient checkpointing in every part that knows it.

    The ID encoder's features are inputs of checkpointed blocks and enter the denoiser's blocks as
    arguments, so gradients are those without checkpointing.
    """
    for part in networks.children():
        if getattr(part, "_supports_gradient_checkpointing", False):
            part.enable_gradient_checkpointing()


def _average(config: TrainConfig, networks: Networks) -> WeightAverage | None:
    optim = config.optim
    if optim.ema == "off":
        return None
    device = torch.device("cpu") if optim.ema == "cpu" else None
    return WeightAverage(networks, optim.ema_decay, device, optim.ema_every)


def go_on(run: Run, resume: bool, accept_changes: bool) -> None:
    """Restore the newest whole state, after a look at what changed since.

    Raises ConfigError where there are states and ``resume`` is not asked for, or where settings or
    data differ and that is not accepted.
    """
    found: list[Path | None] = [None]
    if run.accelerator.is_main_process:
        if not resume and states(run.output):
            raise ConfigError(
                f"{run.output} holds states up to {states(run.output)[-1].name}: add --resume to "
                "go on from there, or choose another run.output"
            )
        found = [latest(run.output)]
    broadcast_object_list(found)
    folder = found[0]
    if folder is None:
        return
    tree = read_trainer(folder)
    facts = run.facts
    now = {"units_per_step": facts.units_per_step, "fingerprint": facts.fingerprint}
    old = {name: tree.get(name) for name in now}
    changed = differences({**tree["config"], **old}, {**facts.config, **now})
    check_same_run(changed, str(folder), accept_changes)
    for each in changed:
        logger.warning("resumed with another setting: %s", each)
    restore(folder, run.state)
    logger.info("resumed %s at step %d", folder, run.state.step)
