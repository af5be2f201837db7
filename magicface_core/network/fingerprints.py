"""What tells networks of the same shapes apart, at the cost of a few thousand numbers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch

from ..errors import CheckpointError
from .weights import TYPES, Entry

FIRST_VALUES = 16


def fingerprint(path: Path, entries: Mapping[str, Entry]) -> str:
    """A short text that differs with names, shapes or first values of some tensors of a file.

    Values count as float16, so that it is the same for a network in float32 and in float16. Raises
    CheckpointError for a file that cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            for key, entry in sorted(entries.items()):
                kind = TYPES[entry.kind]
                file.seek(entry.start)
                content = file.read(min(entry.end - entry.start, FIRST_VALUES * kind.itemsize))
                digest.update(f"{key}{entry.shape}".encode())
                if content:
                    values = torch.frombuffer(bytearray(content), dtype=kind)
                    digest.update(values.to(torch.float16).numpy().tobytes())
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy it again") from error
    return digest.hexdigest()[:16]
