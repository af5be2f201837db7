"""Deterministic validation.

The loss by noise level, and how close one-step edits come to their exact answers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor

from magicface_core.network.autoencoder import decode_latents

from .averaging import WeightAverage
from .config import TrainConfig
from .data.edit_sets import Batch, EditSets
from .initialise import Start
from .objective import Draw, draw, edit_loss, encode, loss_weight

BATCHES = 8
CHANGED = 0.1  # difference of full range from which a pixel counts as changed


@torch.no_grad()
def validate(
    start: Start,
    average: WeightAverage,
    data: EditSets,
    scheduler: DDPMScheduler,
    config: TrainConfig,
    output: Path,
) -> dict[str, float]:
    """Losses at fixed noise levels and the changed-pixel error ratio of one-step edits.

    Uses the averaged weights and its own seeded generators and restores the trained weights, so
    training goes on as if it had not run. Writes a picture grid (source, answer, one-step edit) to
    ``validation.png``.
    """
    device = next(start.networks.parameters()).device
    settings = replace(
        config.data, identities_per_step=4, other_scene=0.0, zero_delta=0.0, window=0
    )
    steps = len(scheduler.alphas_cumprod)
    levels = {f"loss_t{t}": t for t in (steps // 10, steps // 2, steps - 1)}
    totals = dict.fromkeys(levels, 0.0)
    error = change = 0.0
    rows: list[Tensor] = []
    with average.applied():
        for index in range(BATCHES):
            batch = data.batch(np.random.default_rng([1, index]), settings).to(device)
            latents = encode(batch, start.vae, start.networks)
            drawn = draw(
                batch,
                latents.target.shape,
                replace(config.objective, au_dropout=0.0),
                steps,
                torch.Generator().manual_seed(index),
            ).to(device)
            weight = loss_weight(batch, latents.target.shape[-2:], config.objective)
            for name, level in levels.items():
                fixed = replace(drawn, timestep=torch.full_like(drawn.timestep, level))
                totals[name] += float(
                    edit_loss(
                        start.networks,
                        latents,
                        weight,
                        fixed,
                        start.prompt_embeds.to(device),
                        scheduler,
                        config.objective,
                    )
                )
            edited = _one_step(start, latents.identity, latents.condition, drawn, scheduler, device)
            wrong, moved = _changed_error(batch, edited)
            error, change = error + wrong, change + moved
            if index < 2:
                rows.append(_strip(batch, edited))
    _save_grid(output / "validation.png", torch.cat(rows, dim=1))
    return {
        **{k: v / BATCHES for k, v in totals.items()},
        "one_step_ratio": error / max(change, 1e-9),
    }


def _one_step(
    start: Start,
    identity: Tensor,
    condition: Tensor,
    drawn: Draw,
    scheduler: DDPMScheduler,
    device: torch.device,
) -> Tensor:
    """The clean picture predicted from pure noise at the last timestep."""
    last = torch.full_like(drawn.timestep, len(scheduler.alphas_cumprod) - 1)
    output = start.networks(
        drawn.noise, condition, identity, drawn.delta, last, start.prompt_embeds.to(device)
    )
    return decode_latents(start.vae, clean_latents(scheduler, output, drawn.noise))


def clean_latents(scheduler: DDPMScheduler, output: Tensor, noisy: Tensor) -> Tensor:
    """Clean latents that a prediction at the last timestep stands for."""
    alpha = scheduler.alphas_cumprod[-1].to(noisy)
    kind = scheduler.config.prediction_type
    if kind == "sample":
        return output
    if kind == "epsilon":
        return (noisy - (1 - alpha).sqrt() * output) / alpha.sqrt()
    return alpha.sqrt() * noisy - (1 - alpha).sqrt() * output


def _changed_error(batch: Batch, edited: Tensor) -> tuple[float, float]:
    source = batch.identity.repeat(len(edited) // len(batch.identity), 1, 1, 1)
    edited = torch.where(batch.mask > 0.5, edited, source)
    change = (source - batch.target).abs().mean(1)
    changed = change > CHANGED
    return float((edited - batch.target).abs().mean(1)[changed].sum()), float(change[changed].sum())


def _strip(batch: Batch, edited: Tensor) -> Tensor:
    source = batch.identity.repeat(len(edited) // len(batch.identity), 1, 1, 1)
    columns = torch.stack([source, batch.target, edited], dim=1)[:8]
    return torch.cat([torch.cat(list(row), dim=1) for row in columns], dim=2)


def _save_grid(path: Path, grid: Tensor) -> None:
    pixels = (grid.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    Image.fromarray(pixels).save(path)
