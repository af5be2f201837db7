"""float32 -> float16 of a safetensors file, one tensor at a time.

Memory stays at twice the largest tensor, whatever the size of the file, and the new file appears
whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import torch
from torch import Tensor

from ..errors import ModelError
from ..network.streaming import Planned, write_stream
from ..network.weights import Entry, read_entries, read_metadata

_SINGLE, _HALF = "F32", "F16"
_HALF_MAX = 65504.0


def halve(source: Path, target: Path, report: Callable[[int], object] | None = None) -> Path:
    """Write ``source`` with its float32 tensors in float16; all others are copied.

    Args:
        report: told the bytes of each tensor read.

    Raises:
        CheckpointError: the source is no readable safetensors file.
        ModelError: a value does not fit into float16.
        OutputError: there is no room, or the folder cannot be written.
    """
    entries = read_entries(source)
    plan = [_planned(name, entry) for name, entry in entries.items()]
    with source.open("rb") as reader:
        contents = _contents(reader, entries, source, report)
        return write_stream(target, plan, contents, read_metadata(source))


def _planned(name: str, entry: Entry) -> Planned:
    size = entry.end - entry.start
    if entry.kind == _SINGLE:
        return Planned(name, _HALF, entry.shape, size // 2)
    return Planned(name, entry.kind, entry.shape, size)


def _contents(
    reader: IO[bytes],
    entries: dict[str, Entry],
    source: Path,
    report: Callable[[int], object] | None,
) -> Iterator[bytes]:
    for name, entry in entries.items():
        yield _converted(reader, name, entry, source)
        if report is not None:
            report(entry.end - entry.start)


def _converted(reader: IO[bytes], name: str, entry: Entry, source: Path) -> bytes:
    reader.seek(entry.start)
    content = bytearray(reader.read(entry.end - entry.start))
    if entry.kind != _SINGLE or not content:
        return bytes(content)
    tensor = torch.frombuffer(content, dtype=torch.float32)
    _check_range(tensor, name, source)
    return tensor.to(torch.float16).numpy().tobytes()


def _check_range(tensor: Tensor, name: str, source: Path) -> None:
    """NaN compares as false, so that it is refused too."""
    largest = float(tensor.abs().max())
    if not largest <= _HALF_MAX:
        raise ModelError(
            f"{source}: {name} reaches {largest:g}, float16 ends at {_HALF_MAX:g}; keep this file "
            "in float32."
        )
