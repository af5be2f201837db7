"""Writing a safetensors file one tensor after the other.

Memory is that of one tensor, whatever the size of the file, and the file appears whole or not at
all.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor

from ..errors import OutputError
from ..files import check_destination
from .weights import METADATA, TYPES, WEIGHT_KINDS, Entry

_SPARE = 64 * 1024**2
_ALIGNMENT = 8


@dataclass(frozen=True)
class Planned:
    """A tensor that is going to be written.

    kind is the format's name of its type, size its bytes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    size: int


def write_stream(
    target: Path,
    plan: Sequence[Planned],
    contents: Iterable[bytes],
    metadata: Mapping[str, str],
) -> Path:
    """Write a file; returns it.

    Args:
        plan: all tensors, known before the first is there.
        contents: their bytes, in the order of the plan, each made when its turn comes.
        metadata: texts of the header.

    Raises OutputError where there is no room or the folder cannot be written; what ``contents``
    raises passes through. Nothing is left behind then.
    """
    check_destination(target)
    _check_room(target.parent, sum(tensor.size for tensor in plan))
    unfinished = target.with_name(f".{uuid4().hex}.part")
    try:
        with unfinished.open("xb") as writer:
            writer.write(_header(plan, metadata))
            for tensor, content in zip(plan, contents, strict=True):
                if len(content) != tensor.size:
                    raise ValueError(f"{tensor.name}: {len(content)} bytes, planned {tensor.size}")
                writer.write(content)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(unfinished, target)
    except OSError as error:
        raise OutputError(f'"{target}" cannot be written: {error.strerror or error}.') from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def planned(name: str, entry: Entry, dtype: torch.dtype | None) -> Planned:
    """An entry of another file under a new name, in ``dtype`` (None: as it is)."""
    if dtype is None or entry.kind not in WEIGHT_KINDS:
        return Planned(name, entry.kind, entry.shape, entry.end - entry.start)
    kind = next(kind for kind, known in TYPES.items() if known == dtype)
    return Planned(name, kind, entry.shape, prod(entry.shape) * dtype.itemsize)


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor as the format wants them."""
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def _header(plan: Sequence[Planned], metadata: Mapping[str, str]) -> bytes:
    tree: dict[str, object] = {METADATA: {"format": "pt", **metadata}}
    at = 0
    for tensor in plan:
        offsets = [at, at + tensor.size]
        entry = {"dtype": tensor.kind, "shape": list(tensor.shape), "data_offsets": offsets}
        tree[tensor.name] = entry
        at = offsets[1]
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE > free:
        raise OutputError(
            f'{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free in "{folder}"; make '
            "room first. Nothing was deleted."
        )
