"""Writing safetensors: one tensor after the other, in the memory of one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from ..errors import OutputError
from ..files import whole_file
from .weights import METADATA, TYPES, WEIGHT_KINDS, Entry

KINDS = {dtype: kind for kind, dtype in TYPES.items()}
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
    with whole_file(target) as unfinished, unfinished.open("wb") as writer:
        _check_room(target.parent, sum(tensor.size for tensor in plan))
        writer.write(_header(plan, metadata))
        for tensor, content in zip(plan, contents, strict=True):
            if len(content) != tensor.size:
                raise ValueError(f"{tensor.name}: {len(content)} bytes, planned {tensor.size}")
            writer.write(content)
    return target


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> Path:
    """Write tensors that are all there, each aligned to its type; returns the file.

    Equal tensors and metadata give equal bytes. Raises OutputError as ``write_stream`` does.
    """
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))
    plan = [
        Planned(name, KINDS[tensor.dtype], tuple(tensor.shape), tensor.nbytes)
        for name, tensor in ((name, tensors[name]) for name in names)
    ]
    return write_stream(path, plan, (tensor_bytes(tensors[name]) for name in names), metadata or {})


def planned(name: str, entry: Entry, dtype: torch.dtype | None) -> Planned:
    """An entry of another file under a new name, in ``dtype`` (None: as it is)."""
    if dtype is None or entry.kind not in WEIGHT_KINDS:
        return Planned(name, entry.kind, entry.shape, entry.end - entry.start)
    return Planned(name, KINDS[dtype], entry.shape, prod(entry.shape) * dtype.itemsize)


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
    if needed > free:
        raise OutputError(
            f'{needed / 1e6:.1f} MB are needed, {free / 1e6:.1f} MB are free in "{folder}"; make '
            "room first. Nothing was deleted."
        )
