"""Exponential moving average of the trained weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """Shadow copy of a module's trainable parameters.

    Its decay is min(decay, (1 + step) / (10 + step)), so that the start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self.shadow = {n: p.detach().clone() for n, p in self.parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the shadow towards the current weights after optimisation step ``step`` (from 1)."""
        decay = min(self.decay, (1 + step) / (10 + step))
        shadow: list[Tensor] = list(self.shadow.values())
        current: list[Tensor] = [p.detach() for p in self.parameters.values()]
        torch._foreach_lerp_(shadow, current, 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module with averaged weights; the trained ones come back on leaving."""
        backup = {n: p.detach().clone() for n, p in self.parameters.items()}
        self._copy(self.shadow)
        try:
            yield
        finally:
            self._copy(backup)

    @torch.no_grad()
    def _copy(self, values: dict[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.copy_(values[name])
