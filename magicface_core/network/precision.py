"""Floating types by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import CheckpointError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")


def as_dtype(name: str | torch.dtype | None) -> torch.dtype | None:
    """One of `DTYPES`, given as torch's or by name. Raises CheckpointError for another name."""
    import torch

    if name is None or isinstance(name, torch.dtype):
        return name
    if name not in DTYPES:
        raise CheckpointError(f'Unknown dtype "{name}"; choose one of {", ".join(DTYPES)}.')
    found: torch.dtype = getattr(torch, name)
    return found
