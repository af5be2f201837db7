"""Optimisers by name; what is not torch's own is imported when it is asked for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType

import torch
from torch import nn

from .run_settings import OptimConfig
from .settings import ConfigError

PACKAGES = {"adamw-8bit": "bitsandbytes", "adamw-8bit-torchao": "torchao"}


def make_optimizer(
    parameters: Iterable[nn.Parameter], config: OptimConfig
) -> torch.optim.Optimizer:
    """The optimiser that ``config.optimizer`` names.

    Both 8-bit ones keep their moments as quantised blocks and leave small tensors in float32.
    torchao's compiles its update on the first step, which takes a minute or two and a C++ compiler
    (CPU) or Triton (GPU). Raises ConfigError where a package is missing.
    """
    trained = list(parameters)
    adam = {
        "lr": config.learning_rate,
        "betas": config.betas,
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == "adamw":
        return torch.optim.AdamW(trained, fused=True, **adam)  # type: ignore[arg-type]
    if config.optimizer == "adafactor":
        return torch.optim.Adafactor(
            trained, lr=config.learning_rate, weight_decay=config.weight_decay
        )
    if config.optimizer == "adamw-8bit":
        made = _package(config.optimizer, "optim").AdamW8bit(trained, **adam)
    else:
        rounding = {"bf16_stochastic_round": config.weights == "bfloat16"}
        made = _package(config.optimizer, "optim").AdamW8bit(trained, **adam, **rounding)
    optimizer: torch.optim.Optimizer = made
    return optimizer


def memory_format(config: OptimConfig) -> torch.memory_format:
    """How the optimiser leaves the weights in memory.

    bitsandbytes makes them contiguous in its first step. Other formats round differently, so they
    start contiguous with it: a resumed run then repeats the bits.
    """
    contiguous = config.optimizer == "adamw-8bit"
    return torch.contiguous_format if contiguous else torch.channels_last


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameters a learning rate; torchao keeps it in a tensor that has to stay."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def learning_rate(step: int, config: OptimConfig) -> float:
    """Linear warm-up, constant, then linear decay to a tenth over the last ``decay_steps``.

    A function of the step alone: the number of processes does not bend the curve.
    """
    rate = config.learning_rate
    if config.warmup_steps:
        rate *= min(1.0, (step + 1) / config.warmup_steps)
    if config.decay_steps:
        left = (config.steps - step) / config.decay_steps
        rate *= min(1.0, max(0.1, 0.1 + 0.9 * left))
    return rate


def _package(optimizer: str, module: str) -> ModuleType:
    package = PACKAGES[optimizer]
    try:
        return importlib.import_module(f"{package}.{module}")
    except ImportError as error:
        raise ConfigError(
            f"optim.optimizer is {optimizer!r}, which needs {package} ({error}): "
            'pip install "comfyui-magicface[8bit]", or set it to "adamw"'
        ) from error
