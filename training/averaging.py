"""Exponential moving average of the trained weights.

Not diffusers' ``EMAModel``: that does not average weights brought from another device, knows no
names to compare a saved state with, and no update every few steps. The warm-up is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from .settings import ConfigError


class WeightAverage:
    """Shadow copy, in float32, of a module's trainable parameters.

    Its decay is min(decay, (1 + step) / (10 + step)), so that the start is soon forgotten.

    Args:
        module: the trained networks.
        decay: for one step; with ``every`` it applies that many times at once.
        device: where the shadow lies; default beside the weights. On the CPU it spares a GPU four
            bytes a parameter, and costs a copy of the weights at each update.
        every: steps from one update to the next.
    """

    def __init__(
        self, module: nn.Module, decay: float, device: torch.device | None = None, every: int = 1
    ) -> None:
        self.decay = decay
        self.every = every
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.shadow = {
            name: p.detach().to(device or p.device, torch.float32, copy=True)
            for name, p in self.parameters.items()
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the shadow towards the current weights after optimisation step ``step`` (from 1)."""
        if step % self.every:
            return
        decay = min(self.decay, (1 + step) / (10 + step)) ** self.every
        shadow = list(self.shadow.values())
        current = [p.detach() for p in self.parameters.values()]
        pairs = list(zip(shadow, current, strict=True))
        if all(s.device == p.device and s.dtype == p.dtype for s, p in pairs):
            torch._foreach_lerp_(shadow, current, 1 - decay)
            return
        for average, weight in pairs:  # one by one: little memory
            average.lerp_(weight.to(average), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with averaged weights; the trained ones come back on leaving.

        Meanwhile they lie where the shadow does.
        """
        backup = {
            name: p.detach().to(self.shadow[name].device, copy=True)
            for name, p in self.parameters.items()
        }
        _copy(self.shadow, self.parameters)
        try:
            yield
        finally:
            _copy(backup, self.parameters)

    def load(self, values: Mapping[str, Tensor]) -> None:
        """Take over a saved shadow; raises ConfigError where it is of other parameters."""
        other = sorted(set(values) ^ set(self.shadow))
        if other:
            raise ConfigError(
                f"the state averages other weights than this run trains ({', '.join(other[:3])}); "
                "go on with the configuration the state was made with"
            )
        _copy(values, self.shadow)


@torch.no_grad()
def _copy(values: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> None:
    for name, target in targets.items():
        target.copy_(values[name])
