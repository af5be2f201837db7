"""Training samples per second: with and without cached latents and gradient checkpointing.

Optimisation steps of the real code on random weights and made-up pairs, so that reading data costs
nothing (see ``loading_speed.py`` for that).
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from magicface_training.config import TrainConfig, load_config
from magicface_training.evaluation.provenance import machine, versions
from magicface_training.optimisers import make_optimizer, memory_format
from magicface_training.run import TYPES, enable_checkpointing
from magicface_training.steps import Stepper
from random_training import SIZES, Size, made_up_batch, random_start

SEED = 0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--config", default="paper.yaml", help="optimiser and precision")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--steps", type=int, default=5, help="measured steps of each way")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    config = load_config(args.config, args.set)
    accelerator = Accelerator(mixed_precision=config.optim.mixed_precision)
    ways = measure(SIZES[args.size], config, accelerator, args.steps)
    for way in ways:
        print(
            f"latents {'cached' if way['cached_latents'] else 'encoded':8} checkpointing "
            f"{'on ' if way['gradient_checkpointing'] else 'off'}"
            f"{way['samples_per_second']:9.3f} samples/s"
        )
    facts = {"size": args.size, "config": args.config, "seed": SEED, "versions": versions()}
    print(json.dumps({**facts, "machine": machine(str(accelerator.device)), "ways": ways}))
    return 0


def measure(
    size: Size, config: TrainConfig, accelerator: Accelerator, steps: int
) -> list[dict[str, Any]]:
    """Samples per second of each way by its median step.

    The ways take turns on the same networks, so that whatever else the machine does meets them
    alike. The first turn, which warms up, does not count.
    """
    stepper = make_stepper(size, config, accelerator)
    ways = list(itertools.product((False, True), repeat=2))
    seconds: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
    for number, way in enumerate(ways * (steps + 1)):
        seconds[way].append(time_step(stepper, size, number, *way))
    rows = config.data.identities_per_step * config.optim.accumulation
    return [
        {
            "cached_latents": cached,
            "gradient_checkpointing": checkpointing,
            "seconds_per_step": (median := statistics.median(seconds[cached, checkpointing][1:])),
            "samples_per_second": rows / median,
        }
        for cached, checkpointing in ways
    ]


def time_step(
    stepper: Stepper, size: Size, number: int, cached: bool, checkpointing: bool
) -> float:
    """Seconds of one optimisation step."""
    rows, count = stepper.config.data.identities_per_step, stepper.config.optim.accumulation
    first = number * rows * count
    batches = [made_up_batch(size, rows, cached, first + i * rows) for i in range(count)]
    networks, device = stepper.start.networks, stepper.accelerator.device
    if checkpointing:
        enable_checkpointing(networks)
    started = time.perf_counter()
    stepper.step(number, batches)
    if device.type == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - started
    for part in (networks.denoiser, networks.id_encoder):
        part.disable_gradient_checkpointing()
    return seconds


def make_stepper(size: Size, config: TrainConfig, accelerator: Accelerator) -> Stepper:
    """Random networks ready for steps of the real training."""
    torch.manual_seed(SEED)
    start = random_start(size)
    device, optim = accelerator.device, config.optim
    start.vae.to(device)
    start.networks.to(device, TYPES[optim.weights], memory_format=memory_format(optim))
    trained = [p for p in start.networks.parameters() if p.requires_grad]
    model, optimizer = accelerator.prepare(start.networks, make_optimizer(trained, optim))
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    return Stepper(accelerator, model, optimizer, start, scheduler, config)


if __name__ == "__main__":
    raise SystemExit(main())
