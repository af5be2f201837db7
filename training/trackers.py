"""Where a run's numbers go: always ``log.jsonl``, and a tracker of the user's choice.

TensorBoard and wandb write to the run's folder, trackio to the user's cache; none needs a network:
wandb works offline unless ``WANDB_MODE`` or ``WANDB_API_KEY`` is set.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from accelerate import Accelerator

from magicface_core.files import write_file

from .settings import ConfigError

LOG = "log.jsonl"
PROJECT = "magicface"
GIGABYTE = 2**30


def check_tracker(name: str) -> None:
    """Raise ConfigError where the package of a tracker is missing."""
    if name != "none" and importlib.util.find_spec(name) is None:
        raise ConfigError(
            f"run.tracker is {name!r}, which is not installed: pip install "
            f'"comfyui-magicface[track]", or set it to "none" ({LOG} is written in any case)'
        )


def start_tracker(accelerator: Accelerator, name: str, config: dict[str, Any]) -> None:
    """Begin the run in the tracker that ``Accelerator(log_with=name)`` was made with."""
    if name == "none":
        return
    wandb = {"dir": str(accelerator.project_dir)}
    if not _wandb_is_set_up():
        wandb["mode"] = "offline"
    flat = {key: value if _plain(value) else json.dumps(value) for key, value in config.items()}
    accelerator.init_trackers(PROJECT, config=flat, init_kwargs={"wandb": wandb})


def _wandb_is_set_up() -> bool:
    return any(name in os.environ for name in ("WANDB_MODE", "WANDB_API_KEY"))


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


class RunLog:
    """One JSON object per line in ``log.jsonl``, and the same numbers to the tracker.

    Lines beyond ``step``, which a killed run wrote after its last save, are dropped.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, step: int = 0) -> None:
        self.path = folder / LOG
        self.accelerator = accelerator
        self.enabled = accelerator.is_main_process
        if self.enabled:
            folder.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                _drop_after(self.path, step)

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line."""
        if self.enabled:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")
        self.accelerator.log(values, step=step)

    def picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """A picture [H,W,3] uint8 for trackers that show pictures."""
        for tracker in self.accelerator.trackers:
            if tracker.name == "tensorboard":
                tracker.log_images({name: pixels[None]}, step=step, dataformats="NHWC")
            elif hasattr(tracker, "log_images"):
                tracker.log_images({name: pixels[None]}, step=step)


def _drop_after(path: Path, step: int) -> None:
    """Keep the lines up to a step; a line cut off by a kill goes too."""
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    write_file(path, "".join(kept))


class Meter:
    """Means since the last reading, and how fast and in how much memory they came about."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.values: dict[str, list[float]] = defaultdict(list)
        self.samples = 0
        self.since = time.perf_counter()

    def add(self, values: dict[str, float], samples: int) -> None:
        """Record one step of ``samples`` target rows."""
        for name, value in values.items():
            self.values[name].append(value)
        self.samples += samples

    @contextmanager
    def paused(self) -> Iterator[None]:
        """For validating and saving, which are no steps."""
        started = time.perf_counter()
        yield
        self.since += time.perf_counter() - started

    def read(self, waited: float = 0.0) -> dict[str, float]:
        """Means, samples per second, GB of memory and the share of time spent on waiting for data.

        ``waited`` is in seconds, since the last reading. Begins anew.
        """
        seconds = time.perf_counter() - self.since
        result = {name: statistics.fmean(values) for name, values in self.values.items()}
        result["samples_per_second"] = self.samples / seconds
        result["data_wait_share"] = waited / seconds
        result["memory_gb"] = memory_in_use(self.device) / GIGABYTE
        self.values, self.samples, self.since = defaultdict(list), 0, time.perf_counter()
        return result


def memory_in_use(device: torch.device) -> int:
    """Bytes: on a GPU the peak of this process since its start, on a CPU what it holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)
