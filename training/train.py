"""Train MagicFace: ``magicface-train --config FILE.yaml``, or through ``accelerate launch``.

Reads from top to bottom: settings, networks, data, loop, checkpoint. All randomness of a step comes
from the run's seed and the step's number, so a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from tqdm import tqdm

from magicface_core.errors import MagicFaceError

from .averaging import WeightAverage
from .config import OptimConfig, TrainConfig, load_config
from .data.edit_sets import EditSets
from .initialise import Start, initialise
from .objective import Latents, draw, edit_loss, encode, loss_weight
from .state import TrainState, export, latest, restore, save
from .validation import validate

logger = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="magicface-train", description=__doc__.splitlines()[0])
    parser.add_argument("--config", required=True, help="YAML file with the settings")
    parser.add_argument(
        "--set", action="append", default=[], metavar="section.key=value", help="override"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on from the newest state of the run's folder"
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        train(load_config(args.config, args.set), args.resume)
    except MagicFaceError as error:
        parser.exit(2, f"magicface-train: {error}\n")
    return 0


def learning_rate(step: int, config: OptimConfig) -> float:
    """Linear warm-up, constant, then linear decay to a tenth over the last ``decay_steps``."""
    rate = config.learning_rate
    if config.warmup_steps:
        rate *= min(1.0, (step + 1) / config.warmup_steps)
    if config.decay_steps:
        left = (config.steps - step) / config.decay_steps
        rate *= min(1.0, max(0.1, 0.1 + 0.9 * left))
    return rate


def step_seed(run_seed: int, step: int, process: int) -> int:
    """The seed of one step on one process."""
    return int(
        np.random.SeedSequence([run_seed, step, process]).generate_state(1, np.uint64)[0] >> 1
    )


def train(config: TrainConfig, resume: bool = False) -> Path:
    """Run training; returns the folder of the exported checkpoint."""
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    accelerator = Accelerator(mixed_precision=config.optim.mixed_precision)
    start = initialise(config)
    start.vae.to(accelerator.device)
    prompt = start.prompt_embeds.to(accelerator.device)
    networks = start.networks.to(accelerator.device, memory_format=torch.channels_last)
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    optimizer = torch.optim.AdamW(
        [p for p in networks.parameters() if p.requires_grad],
        lr=config.optim.learning_rate,
        betas=config.optim.betas,
        weight_decay=config.optim.weight_decay,
        fused=True,
    )
    average = WeightAverage(networks, config.optim.ema_decay)
    state = TrainState(networks, optimizer, average)
    output = Path(config.run.output)
    if resume and (folder := latest(output)) is not None:
        restore(folder, state)
        logger.info("resumed %s at step %d", folder, state.step)
    model, optimizer = accelerator.prepare(networks, optimizer)
    data = EditSets(config.data.train)
    held_out = EditSets(config.data.validation) if config.data.validation else None
    log = RunLog(output, accelerator.is_main_process)
    bar = tqdm(
        total=config.optim.steps, initial=state.step, disable=not accelerator.is_local_main_process
    )
    while state.step < config.optim.steps:
        generator = torch.Generator().manual_seed(
            step_seed(config.run.seed, state.step, accelerator.process_index)
        )
        rng = np.random.default_rng([config.run.seed, state.step, accelerator.process_index])
        now = config.at(state.step)
        batch = data.batch(rng, now.data).to(accelerator.device)
        latents: Latents = encode(batch, start.vae, networks)
        drawn = draw(
            batch, latents.target.shape, now.objective, len(scheduler.alphas_cumprod), generator
        )
        weight = loss_weight(batch, latents.target.shape[-2:], now.objective)
        with accelerator.autocast():
            loss = edit_loss(
                model,
                latents,
                weight,
                drawn.to(accelerator.device),
                prompt,
                scheduler,
                now.objective,
            )
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(model.parameters(), config.optim.clip_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(state.step, config.optim)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        state.step += 1
        average.update(state.step)
        bar.update()
        log.add(loss, norm, state.step, config)
        due = accelerator.is_main_process and state.step % config.run.validate_every == 0
        if held_out is not None and due:
            log.write(state.step, validate(start, average, held_out, scheduler, config, output))
        if accelerator.is_main_process and state.step % config.run.save_every == 0:
            save(output, state, config)
    bar.close()
    return finish(output, state, start, config) if accelerator.is_main_process else output


class RunLog:
    """Means over ``log_every`` steps, one JSON object per line in ``log.jsonl``."""

    def __init__(self, folder: Path, enabled: bool) -> None:
        self.path = folder / "log.jsonl"
        self.enabled = enabled
        self.values: list[tuple[float, float]] = []
        self.since = time.perf_counter()
        if enabled:
            folder.mkdir(parents=True, exist_ok=True)

    def add(self, loss: torch.Tensor, norm: torch.Tensor, step: int, config: TrainConfig) -> None:
        """Record one step; write a line every ``log_every`` steps."""
        self.values.append((float(loss.detach()), float(norm)))
        if len(self.values) < config.run.log_every:
            return
        losses, norms = zip(*self.values, strict=True)
        seconds = time.perf_counter() - self.since
        samples = len(losses) * config.data.identities_per_step * config.data.targets_per_identity
        self.write(
            step,
            {
                "loss": sum(losses) / len(losses),
                "gradient_norm": sum(norms) / len(norms),
                "learning_rate": learning_rate(step, config.optim),
                "samples_per_second": samples / seconds,
            },
        )
        self.values, self.since = [], time.perf_counter()

    def write(self, step: int, values: dict[str, float]) -> None:
        """One line."""
        if self.enabled:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")


def finish(output: Path, state: TrainState, start: Start, config: TrainConfig) -> Path:
    """Save the last state and export the averaged weights as a checkpoint folder."""
    save(output, state, config)
    folder = export(output / "checkpoint", state, start, config)
    logger.info("checkpoint in %s", folder)
    return folder


if __name__ == "__main__":
    raise SystemExit(main())
