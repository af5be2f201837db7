"""Deterministic validation on held-out identities.

The loss by noise level, how close one-step edits come to exact answers where the data has any, and
the fixed picture grid of ``grid.py``. Whatever it does to weights, random numbers and train flags
is undone, so a run with validation ends in the same weights as one without.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor, nn

from magicface_core.network.autoencoder import decode_latents
from magicface_core.pictures.images import save_image

from .averaging import WeightAverage
from .config import ObjectiveConfig, TrainConfig
from .data.loading import batches
from .data.samples import Batch
from .data.sources import SampleSource
from .grid import draw_grid
from .initialise import Start
from .objective import Draw, Latents, clean_latents, compared, draw, edit_loss, encode, picture
from .picture_error import decoded

SEED = 20_250_104  # of the rows and their noise; no run's own
AT_ONCE = 4  # identity images
CHANGED = 0.1  # difference of full range from which a pixel counts as changed
FOLDER = "validation"  # of the grids, in the run's folder


@dataclass
class Validator:
    """Looks at a run from outside.

    average   the weights that are judged; None judges the trained ones
    autocast  the precision of the computation, as in training
    """

    start: Start
    average: WeightAverage | None
    source: SampleSource
    scheduler: DDPMScheduler
    config: TrainConfig
    autocast: Callable[[], AbstractContextManager[None]] = nullcontext

    def __call__(self, step: int) -> tuple[dict[str, float], Image.Image | None]:
        """Numbers for the log, and the grid, which is also written to the run's folder."""
        weights = nullcontext() if self.average is None else self.average.applied()
        with torch.no_grad(), untouched(self.start.networks), weights, self.autocast():
            values = self._losses()
            grid, response = draw_grid(self.start, self._batches(), self.config.validation)
        if grid is not None:
            folder = Path(self.config.run.output) / FOLDER
            folder.mkdir(parents=True, exist_ok=True)
            save_image(grid, folder / f"{step:08d}.png")
        return values | response, grid

    def _batches(self) -> Iterator[Batch]:
        """The same held-out rows every time."""
        config = validation_config(self.config)
        return batches(self.source, config, SEED, workers=0)

    def _losses(self) -> dict[str, float]:
        networks = self.start.networks
        place = next(networks.parameters())
        prompt = self.start.prompt_embeds.to(place)
        objective = validation_objective(self.config.objective)
        steps = len(self.scheduler.alphas_cumprod)
        levels = timestep_levels(steps, self.config.validation.bins)
        totals = dict.fromkeys(levels, 0.0)
        rows = wrong = change = 0.0
        for batch in self._batches():
            batch = batch.to(place.device)
            latents = encode(batch, self.start.vae, networks)
            drawn = draw(batch, latents.target_mean.shape, objective, steps, SEED).to(place.device)
            vae, readers = self.start.vae, self.start.readers
            pictures, weight = compared(batch, latents, vae, objective, readers)
            weight = weight / weight.mean()
            for level in levels:
                fixed = replace(drawn, timestep=torch.full_like(drawn.timestep, level))
                loss = edit_loss(
                    networks, latents, weight, fixed, prompt, self.scheduler, objective, pictures
                )
                totals[level] += float(loss) * len(batch.delta)
            rows += len(batch.delta)
            if batch.same_scene.any():
                edited = _one_step(self.start, batch, latents, drawn, self.scheduler, prompt)
                one, other = _changed_error(batch, edited)
                wrong, change = wrong + one, change + other
        means = {f"validation_loss_t{level}": total / rows for level, total in totals.items()}
        means["validation_loss"] = sum(means.values()) / len(means)
        return means | ({"one_step_ratio": wrong / change} if change else {})


def validation_objective(objective: ObjectiveConfig) -> ObjectiveConfig:
    """Without dropout and weights of timesteps; where own states are trained, all are."""
    own = 1.0 if objective.own_states else 0.0
    return replace(objective, au_dropout=0.0, min_snr=0.0, own_states=own)


def validation_config(config: TrainConfig) -> TrainConfig:
    """Whole, unmirrored pictures and exact edits, or pairs as they are, without stages."""
    data = replace(
        config.data,
        identities_per_step=AT_ONCE,
        other_scene=0.0,
        zero_delta=0.0,
        window=0,
        flip=0.0,
        cache="",
    )
    steps = math.ceil(config.validation.rows / AT_ONCE)
    return replace(config, data=data, stages=(), optim=replace(config.optim, steps=steps))


def timestep_levels(timesteps: int, bins: int) -> list[int]:
    """The middles of equal ranges of the timesteps."""
    return [timesteps * (2 * i + 1) // (2 * bins) for i in range(bins)]


@contextmanager
def untouched(networks: nn.Module) -> Iterator[None]:
    """Evaluation mode; afterwards train flags and all global random numbers are as before."""
    modes = [(module, module.training) for module in networks.modules()]
    plain, arrays, tensors = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    networks.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        random.setstate(plain)
        np.random.set_state(arrays)
        torch.set_rng_state(tensors)
        if devices:
            torch.cuda.set_rng_state_all(devices)


def _one_step(
    start: Start,
    batch: Batch,
    latents: Latents,
    drawn: Draw,
    scheduler: DDPMScheduler,
    prompt: Tensor,
) -> Tensor:
    """The picture [B,3,H,W] in 0..1 predicted from pure noise at the last timestep."""
    last = torch.full_like(drawn.timestep, len(scheduler.alphas_cumprod) - 1)
    inputs = (drawn.noise, latents.condition, latents.identity, drawn.delta)
    output = start.networks(*(each.to(prompt.dtype) for each in inputs), last, prompt).float()
    clean = clean_latents(scheduler, output, drawn.noise, last)
    if start.networks.reads_pictures:
        return decode_latents(start.vae, clean)
    shown = decoded(start.vae, clean, picture(batch.identity) * 2 - 1, latents.identity)
    return (shown / 2 + 0.5).clamp(0, 1)


def _changed_error(batch: Batch, edited: Tensor) -> tuple[float, float]:
    """Summed error and change, over the changed pixels of exact edits."""
    target, identity = picture(batch.target), picture(batch.identity)
    source = identity.repeat(len(edited) // len(identity), 1, 1, 1)
    edited = torch.where(batch.mask > 0.5, edited, source)
    change = (source - target).abs().mean(1)
    changed = (change > CHANGED) & batch.same_scene[:, None, None]
    return float((edited - target).abs().mean(1)[changed].sum()), float(change[changed].sum())
