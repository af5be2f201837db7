"""Micro-batches in the run's order, made ahead of time by worker processes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from magicface_core.errors import MagicFaceError

from ..config import ConfigError, TrainConfig
from .order import Split, generator_seed, unit_at
from .samples import Batch, SampleSource, collate
from .workers import obey_the_trainer, sheltered

# What a stage may change of the data; the rest belongs to the source or to the order.
CHANGEABLE = ("targets_per_identity", "other_scene", "zero_delta", "window", "flip")


def batches(
    source: SampleSource,
    config: TrainConfig,
    seed: int,
    *,
    processes: int = 1,
    process: int = 0,
    accumulation: int = 1,
    start_step: int = 0,
    workers: int | None = None,
) -> Iterator[Batch]:
    """This process's micro-batches from optimisation step ``start_step`` on, up to the last.

    ``accumulation`` of them make a step. What they hold depends on the source, the configuration
    and the seed alone: neither on ``workers`` (default ``config.data.workers``; 0 reads in this
    process) nor on where the run was resumed, and a step's units are the same for any division
    over processes, accumulated micro-batches and identities of each.

    Raises:
        ConfigError: a stage changes what has to stay the same during a run.
        DataError: the source cannot give what the configuration asks for.
    """
    _check_stages(source, config)
    split = Split(config.data.identities_per_step, processes, process, accumulation)
    plan = MicroBatches(source, config, seed, split)
    numbers = range(start_step * accumulation, config.optim.steps * accumulation)
    count = config.data.workers if workers is None else workers
    loader = DataLoader(
        plan,
        batch_size=None,
        sampler=numbers,
        num_workers=count,
        multiprocessing_context="spawn" if count else None,  # a forked torch may hang
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # or the loader draws from the run's
        worker_init_fn=obey_the_trainer if count else None,
    )
    return _unwrapped(loader)


class MicroBatches(Dataset[Any]):
    """Micro-batch ``number`` of one process, counted from the run's start."""

    def __init__(self, source: SampleSource, config: TrainConfig, seed: int, split: Split) -> None:
        self.source = source
        self.config = config
        self.seed = seed
        self.split = split

    def __getitem__(self, number: int) -> Batch | Failure:
        try:
            return self.batch(number)
        except MagicFaceError as error:
            return Failure(error)

    def batch(self, number: int) -> Batch:
        """The micro-batch; raises what the source raises."""
        settings = self.config.at(number // self.split.accumulation).data
        source, samples = self.source, []
        for position in self.split.positions(number):
            index = unit_at(position, len(source), self.seed, source.shards)
            rng = np.random.default_rng(generator_seed(self.seed, position, "sample"))
            samples.append(replace(source.sample(index, rng, settings), position=position))
        return collate(samples)


@dataclass(frozen=True)
class Failure:
    """An error on its way from a worker; the loader would bury its message in a traceback."""

    error: MagicFaceError


def _unwrapped(loader: DataLoader[Any]) -> Iterator[Batch]:
    with sheltered() if loader.num_workers else nullcontext():
        items = iter(loader)
    for item in items:
        if isinstance(item, Failure):
            raise item.error
        yield item


def _check_stages(source: SampleSource, config: TrainConfig) -> None:
    for number, stage in enumerate(config.stages):
        fixed = sorted(set(stage.data) - set(CHANGEABLE))
        if fixed:
            raise ConfigError(
                f"stages[{number}].data changes {fixed}, which stay the same during a run; "
                f"a stage may change {list(CHANGEABLE)}"
            )
    for start in (0, *(stage.start for stage in config.stages)):
        source.check(config.at(start).data)


class WaitMeter(Iterator[Batch]):
    """Batches, and the share of the time that is spent waiting for them.

    The time until the first batch, in which the workers start, does not count.
    """

    def __init__(self, source: Iterator[Batch]) -> None:
        self.source = source
        self.started = 0.0
        self.waited = 0.0

    def __next__(self) -> Batch:
        asked = time.perf_counter()
        batch = next(self.source)
        now = time.perf_counter()
        if self.started:
            self.waited += now - asked
        else:
            self.started = now
        return batch

    @property
    def stall_share(self) -> float:
        """Waiting as a share of the time since the first batch, or since ``reset``; 0 to 1."""
        passed = time.perf_counter() - self.started
        return self.waited / passed if self.started and passed > 0 else 0.0

    def reset(self) -> None:
        """Count from now on."""
        self.waited = 0.0
        if self.started:
            self.started = time.perf_counter()
