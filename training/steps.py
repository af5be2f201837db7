"""One optimisation step: micro-batches in, changed weights out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from torch import Tensor, nn

from .config import ObjectiveConfig, TrainConfig
from .data.order import generator_seed
from .data.samples import Batch
from .initialise import Start
from .networks import Networks
from .nonfinite import NonFiniteError, explain, save_batch
from .objective import Draw, Latents, compared, draw, edit_loss, encode
from .optimisers import learning_rate, set_learning_rate
from .picture_error import Pictures

FAILED = "failed"  # folder of the batches whose loss was not finite


@dataclass(frozen=True)
class Prepared:
    """A micro-batch ready for the loss, on the device."""

    batch: Batch
    latents: Latents
    drawn: Draw
    weight: Tensor
    pictures: Pictures | None  # to compare with, where the objective does


@dataclass(frozen=True)
class Outcome:
    """values: loss, gradient norms and learning rate of the step, the same on all processes.

    stop tells whether any process was asked to stop.
    """

    values: dict[str, float]
    stop: bool


class Stepper:
    """Takes optimisation steps.

    model and optimizer are what accelerate made of the networks and the optimiser.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        start: Start,
        scheduler: DDPMScheduler,
        config: TrainConfig,
    ) -> None:
        self.accelerator = accelerator
        self.model = model
        self.optimizer = optimizer
        self.start = start
        self.scheduler = scheduler
        self.config = config
        self.trained = [p for p in start.networks.parameters() if p.requires_grad]
        # The networks compute in the type of what they are given.
        self.prompt = start.prompt_embeds.to(accelerator.device, self.trained[0].dtype)

    def step(self, number: int, batches: Sequence[Batch], stop: bool = False) -> Outcome:
        """Optimisation step ``number`` (from 0) on this process's micro-batches.

        Raises NonFiniteError, before anything is changed, for a loss or gradient that is NaN or
        infinite; the micro-batch at fault is saved.
        """
        objective = self.config.at(number).objective
        prepared = [self._prepare(batch, objective) for batch in batches]
        weight = self._mean_weight(prepared, objective)
        losses = [
            self._backward(each, weight, objective, last=each is prepared[-1], count=len(prepared))
            for each in prepared
        ]
        stopped, finite, loss = self._agree(losses, stop)
        norms = gradient_norms(self._unscaled())
        total = math.hypot(*norms.values())
        if not finite or (self.accelerator.scaler is None and not math.isfinite(total)):
            raise self._failure(number, prepared, losses, total, everything=finite)
        self._update(number, total)
        values = {"loss": loss, "gradient_norm": total}
        values |= {f"gradient_norm_{name}": norm for name, norm in norms.items()}
        return Outcome(
            {**values, "learning_rate": learning_rate(number, self.config.optim)}, stopped
        )

    def _prepare(self, batch: Batch, objective: ObjectiveConfig) -> Prepared:
        device = self.accelerator.device
        batch = batch.to(device, non_blocking=True)
        latents = encode(batch, self.start.vae, self.start.networks)
        shape = latents.target_mean.shape
        timesteps = len(self.scheduler.alphas_cumprod)
        drawn = draw(batch, shape, objective, timesteps, self.config.run.seed)
        start = self.start
        pictures, weight = compared(batch, latents, start.vae, objective, start.readers)
        return Prepared(batch, latents, drawn.to(device), weight, pictures)

    def _mean_weight(self, prepared: Sequence[Prepared], objective: ObjectiveConfig) -> Tensor:
        """Of all rows of the step, wherever they are, so that their spread changes nothing."""
        mean = torch.stack([each.weight.mean() for each in prepared]).mean()
        if objective.outside_weight == 1 and not objective.change_weight:
            return mean  # 1 everywhere
        reduced: Tensor = self.accelerator.reduce(mean, "mean")
        return reduced

    def _backward(
        self,
        prepared: Prepared,
        weight: Tensor,
        objective: ObjectiveConfig,
        last: bool,
        count: int,
    ) -> float:
        """Gradients of one micro-batch; processes exchange them at the last one alone."""
        with nullcontext() if last else self.accelerator.no_sync(self.model):
            with self.accelerator.autocast():
                loss = edit_loss(
                    self.model,  # type: ignore[arg-type]
                    prepared.latents,
                    prepared.weight / weight,
                    prepared.drawn,
                    self.prompt,
                    self.scheduler,
                    objective,
                    prepared.pictures,
                )
            self.accelerator.backward(loss / count)
        return float(loss.detach())

    def _agree(self, losses: Sequence[float], stop: bool) -> tuple[bool, bool, float]:
        """Whether any process is to stop, whether all losses are finite, and their mean."""
        mean = sum(losses) / len(losses)
        finite = math.isfinite(mean)
        if self.accelerator.num_processes == 1:
            return stop, finite, mean
        own = torch.tensor([float(stop), float(not finite), mean if finite else 0.0])
        total = self.accelerator.reduce(own.to(self.accelerator.device), "sum").tolist()
        return total[0] > 0, total[1] == 0, total[2] / self.accelerator.num_processes

    def _unscaled(self) -> Networks:
        """The networks, their gradients freed of fp16's loss scale."""
        if self.accelerator.scaler is not None:
            self.accelerator.unscale_gradients(self.optimizer)
        return self.start.networks

    def _update(self, number: int, norm: float) -> None:
        optim = self.config.optim
        if optim.clip_norm and math.isfinite(norm):
            torch.nn.utils.clip_grads_with_norm_(
                self.trained, optim.clip_norm, torch.tensor(norm, device=self.accelerator.device)
            )
        set_learning_rate(self.optimizer, learning_rate(number, optim))
        # Stochastic rounding draws from torch's generator: the same on all processes, and after
        # a resume.
        torch.manual_seed(generator_seed(self.config.run.seed, number, "update"))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _failure(
        self,
        number: int,
        prepared: Sequence[Prepared],
        losses: list[float],
        norm: float,
        everything: bool,
    ) -> NonFiniteError:
        """The error; micro-batches whose own loss is not finite are saved, or all of them."""
        output, process = Path(self.config.run.output), self.accelerator.process_index
        saved = []
        for index in range(len(losses)):
            if not everything and math.isfinite(losses[index]):
                continue
            path = output / FAILED / f"step-{number:08d}-process-{process}-{index}.safetensors"
            facts = {"step": number, "process": process, "loss": losses[index]}
            saved.append(save_batch(path, prepared[index].batch, prepared[index].drawn, facts))
        self.optimizer.zero_grad(set_to_none=True)
        return NonFiniteError(explain(number, losses, norm, saved, output))


@torch.no_grad()
def gradient_norms(networks: Networks) -> dict[str, float]:
    """L2 norms of the gradients of each part, such as "denoiser" and "id_encoder"."""
    norms = {}
    for name, part in networks.named_children():
        gradients = [p.grad for p in part.parameters() if p.grad is not None]
        if gradients:
            norms[name] = float(torch.nn.utils.get_total_norm(gradients))
    return norms
