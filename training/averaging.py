"""Exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator
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
        self.shadow = {n: _copied(p, device) for n, p in self.parameters.items()}

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
        backup = {n: p.detach().to(self.shadow[n].device, copy=True) for n, p in self._pairs()}
        self._copy(self.shadow)
        try:
            yield
        finally:
            self._copy(backup)

    def load(self, values: dict[str, Tensor]) -> None:
        """Take over a saved shadow; raises ConfigError where it is of other parameters."""
        other = sorted(set(values) ^ set(self.shadow))
        if other:
            raise ConfigError(
                f"the state averages other weights than this run trains ({', '.join(other[:3])}); "
                "go on with the configuration the state was made with"
            )
        for name, tensor in values.items():
            self.shadow[name].copy_(tensor)

    def _pairs(self) -> list[tuple[str, nn.Parameter]]:
        return list(self.parameters.items())

    @torch.no_grad()
    def _copy(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self._pairs():
            parameter.copy_(values[name])


def _copied(parameter: nn.Parameter, device: torch.device | None) -> Tensor:
    return parameter.detach().to(device or parameter.device, torch.float32, copy=True)
