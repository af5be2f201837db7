"""What is kept when a loss or gradient is not finite: the micro-batch that made it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from torch import Tensor

from magicface_core.errors import MagicFaceError
from magicface_core.network.streaming import write_tensors

from .data.samples import Batch, CachedLatents
from .objective import Draw


class NonFiniteError(MagicFaceError):
    """A loss or gradient became NaN or infinite; the weights are those of the step before."""


def save_batch(path: Path, batch: Batch, drawn: Draw, facts: dict[str, float | int]) -> Path:
    """Write everything the loss was computed from as safetensors; ``facts`` go into the metadata.

    Keys are ``batch.delta``, ``batch.latents.target_mean``, ``draw.noise`` and so on.
    """
    tensors = {**_tensors("batch", batch), **_tensors("draw", drawn)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors, {"facts": json.dumps(facts)})
    return path


def explain(step: int, losses: list[float], norm: float, saved: list[Path], output: Path) -> str:
    """The error's text."""
    places = ", ".join(str(path) for path in saved) or "no batch of this process was at fault"
    return (
        f"step {step}: the loss is {losses}, the gradient's norm {norm}. Nothing was changed by "
        f"this step; its batch: {places}. Look for damaged pictures in it; else lower "
        "optim.learning_rate, set optim.clip_norm, or optim.mixed_precision to 'bf16'. The states "
        f"in {output} are good: go on from the last one with --resume"
    )


def _tensors(prefix: str, holder: Batch | Draw | CachedLatents) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for field in dataclasses.fields(holder):
        value = getattr(holder, field.name)
        if isinstance(value, Tensor):
            found[f"{prefix}.{field.name}"] = value
        elif isinstance(value, CachedLatents):
            found.update(_tensors(f"{prefix}.{field.name}", value))
    return found
