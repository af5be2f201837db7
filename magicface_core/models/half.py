"""float32 -> float16 of a safetensors file, one tensor at a time.

Memory stays at twice the largest tensor, whatever the size of the file, and the new file appears
whole or not at all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import torch
from torch import Tensor

from ..errors import ModelError, OutputError
from ..files import check_destination
from ..network.weights import read_header

_SINGLE, _HALF = "F32", "F16"
_HALF_MAX = 65504.0
_SPARE = 64 * 1024**2
_ALIGNMENT = 8


@dataclass(frozen=True)
class _Entry:
    """A tensor in the header: ``start`` and ``end`` count from the end of the header."""

    name: str
    kind: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def halved(self) -> bool:
        return self.kind == _SINGLE

    @property
    def new_bytes(self) -> int:
        return prod(self.shape) * 2 if self.halved else self.end - self.start


def halve(source: Path, target: Path, report: Callable[[int], object] | None = None) -> Path:
    """Write ``source`` with its float32 tensors in float16; all others are copied.

    Args:
        report: told the bytes of each tensor read.

    Raises:
        CheckpointError: the source is no readable safetensors file.
        ModelError: a value does not fit into float16.
        OutputError: there is no room, or the folder cannot be written.
    """
    read_header(source)  # refuses headers that do not fit the file
    entries, metadata, data_at = _read_entries(source)
    check_destination(target)
    _check_room(target.parent, sum(entry.new_bytes for entry in entries))
    unfinished = target.with_name(f".{uuid4().hex}.part")
    try:
        with source.open("rb") as reader, unfinished.open("xb") as writer:
            writer.write(_header(entries, metadata))
            for entry in entries:
                writer.write(_converted(reader, entry, data_at, source))
                if report is not None:
                    report(entry.end - entry.start)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise OutputError(f'"{target}" cannot be written: {error.strerror or error}.') from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def _read_entries(path: Path) -> tuple[list[_Entry], dict[str, str], int]:
    """Tensors in the order of the file, the texts, and where the data begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        tree: dict[str, Any] = json.loads(file.read(length))
    metadata = tree.pop("__metadata__", {})
    entries = [
        _Entry(name, value["dtype"], tuple(value["shape"]), *value["data_offsets"])
        for name, value in tree.items()
    ]
    return sorted(entries, key=lambda entry: entry.start), metadata, 8 + length


def _header(entries: list[_Entry], metadata: dict[str, str]) -> bytes:
    tree: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    at = 0
    for entry in entries:
        kind = _HALF if entry.halved else entry.kind
        offsets = [at, at + entry.new_bytes]
        tree[entry.name] = {"dtype": kind, "shape": list(entry.shape), "data_offsets": offsets}
        at = offsets[1]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _converted(reader: IO[bytes], entry: _Entry, data_at: int, source: Path) -> bytes:
    reader.seek(data_at + entry.start)
    content = bytearray(reader.read(entry.end - entry.start))
    if not entry.halved or not content:
        return bytes(content)
    tensor = torch.frombuffer(content, dtype=torch.float32)
    _check_range(tensor, entry.name, source)
    return tensor.to(torch.float16).numpy().tobytes()


def _check_range(tensor: Tensor, name: str, source: Path) -> None:
    """NaN compares as false, so that it is refused too."""
    largest = float(tensor.abs().max())
    if not largest <= _HALF_MAX:
        raise ModelError(
            f"{source}: {name} reaches {largest:g}, float16 ends at {_HALF_MAX:g}; keep this file "
            "in float32."
        )


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise OutputError(
            f'{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free in "{folder}"; make '
            "room first. The original is deleted only after the new file is complete."
        )
