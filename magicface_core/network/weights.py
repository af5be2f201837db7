"""Reading safetensors; ``streaming.py`` writes them.

Shapes and keys are checked against the file's header before anything is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ..errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_TENSORS = 20_000
MAX_JSON_BYTES = 1_000_000
METADATA = "__metadata__"
WEIGHT_KINDS = ("F32", "F16", "BF16", "F64")
TYPES = {
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F64": torch.float64,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
WEIGHTS_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


def find_weights(folder: Path) -> Path:
    """The weights file of a diffusers folder."""
    for name in WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"{folder} lacks {WEIGHTS_NAMES[0]}; copy the file from the checkpoint's source"
    )


def has_weights(folder: Path) -> bool:
    """Whether ``find_weights`` finds any."""
    return any((folder / name).is_file() for name in WEIGHTS_NAMES)


def read_config(folder: Path) -> dict[str, Any]:
    """The ``config.json`` of a diffusers folder."""
    path = folder / "config.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} lacks config.json; copy the file from the checkpoint's source"
        )
    return read_object(path)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file."""
    size = path.stat().st_size
    if size > MAX_JSON_BYTES:
        raise CheckpointError(f"{path} has {size} bytes, at most {MAX_JSON_BYTES} are read")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    return parse_object(text, str(path))


def parse_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object in a text; ``where`` names it in messages."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CheckpointError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{where} holds {type(tree).__name__}, not an object")
    return tree


@dataclass(frozen=True)
class Entry:
    """A tensor as a file's header describes it; its bytes are ``start`` to ``end`` of the file."""

    kind: str  # the format's name of the type, such as "F32"
    shape: tuple[int, ...]
    start: int
    end: int


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file, without its data."""
    return {key: entry.shape for key, entry in read_entries(path).items()}


def read_entries(path: Path) -> dict[str, Entry]:
    """What a safetensors file's header says, in the order of the data.

    The header is known to be true to the file afterwards: every byte of data belongs to exactly one
    tensor, and each tensor has the bytes that its shape and type need. Raises CheckpointError.
    """
    tree, data_at = _read_tree(path)
    entries = [
        (key, Entry(value["dtype"], tuple(value["shape"]), *(data_at + x for x in place)))
        for key, value in tree.items()
        if key != METADATA and (place := value["data_offsets"])
    ]
    return dict(sorted(entries, key=lambda pair: pair[1].start))


def read_metadata(path: Path) -> dict[str, str]:
    """The texts in a safetensors file's header."""
    return dict(_read_tree(path)[0].get(METADATA) or {})


def network_entries(path: Path, belongs: Callable[[str], bool]) -> dict[str, Entry]:
    """Those tensors of a file that belong to a network.

    Raises CheckpointError where one is of a type that weights cannot have.
    """
    entries = {key: entry for key, entry in read_entries(path).items() if belongs(key)}
    for key, entry in entries.items():
        if entry.kind not in WEIGHT_KINDS:
            raise CheckpointError(
                f"{path}: {key} is of type {entry.kind}, weights are {', '.join(WEIGHT_KINDS)}; "
                "take a file that is not quantised"
            )
    return entries


def _read_tree(path: Path) -> tuple[dict[str, Any], int]:
    """The header as JSON, and where the data begin; the library has checked it against the file."""
    try:
        _check_header_size(path)
        with safe_open(path, framework="numpy") as file:
            count = len(file.keys())
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            tree: dict[str, Any] = json.loads(file.read(length))
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); copy it again"
        ) from error
    if count > MAX_TENSORS:
        raise CheckpointError(
            f"{path} lists {count} tensors, networks have at most {MAX_TENSORS}; copy it again"
        )
    return tree, 8 + length


def _check_header_size(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; copy it again")
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
    limit = min(MAX_HEADER_BYTES, path.stat().st_size - 8)
    if size > limit:
        raise CheckpointError(
            f"{path} announces a header of {size} bytes where at most {max(limit, 0)} fit; "
            "it is damaged, copy it again"
        )


def read_tensors(
    path: Path,
    dtype: torch.dtype | None,
    device: torch.device,
    keys: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    """Tensors of a file (all by default), floating ones in ``dtype`` (None: as they are).

    Memory is that of the result and of the largest tensor in the file.
    """
    return dict(stream_tensors(path, dtype, device, keys))


def stream_tensors(
    path: Path,
    dtype: torch.dtype | None,
    device: torch.device,
    keys: Iterable[str] | None = None,
) -> Iterator[tuple[str, Tensor]]:
    """The same, one after the other in the order of the file.

    Each is read by itself, and what must be converted or moved goes through one buffer. Mapping
    the file instead would keep all of it resident beside what it is converted to.
    """
    entries = read_entries(path)
    wanted = entries if keys is None else {key: entries[key] for key in keys}
    kinds = {key: _type_of(entry, path) for key, entry in wanted.items()}
    sizes = [e.end - e.start for k, e in wanted.items() if not _stays(kinds[k], dtype, device)]
    buffer = torch.empty(max(sizes, default=0), dtype=torch.uint8)
    try:
        with path.open("rb", buffering=0) as file:
            for key, entry in wanted.items():
                yield key, _read(file, entry, kinds[key], buffer, dtype, device)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error}); copy it again") from error


def _read(
    file: FileIO,
    entry: Entry,
    kind: torch.dtype,
    buffer: Tensor,
    dtype: torch.dtype | None,
    device: torch.device,
) -> Tensor:
    """One tensor, where and as it is wanted."""
    size = entry.end - entry.start
    if _stays(kind, dtype, device):
        tensor = torch.empty(entry.shape, dtype=kind)
        _fill(file, entry.start, tensor.reshape(-1).view(torch.uint8))
        return tensor
    _fill(file, entry.start, buffer[:size])
    source = buffer[:size].view(kind).reshape(entry.shape)
    return source.to(device, dtype if kind.is_floating_point else None, copy=True)


def _fill(file: FileIO, start: int, target: Tensor) -> None:
    """Read bytes into a uint8 tensor; a single read may bring fewer than asked for."""
    file.seek(start)
    view = target.numpy().data
    while len(view):
        count = file.readinto(view)
        if not count:
            raise OSError("it ended early")
        view = view[count:]


def _stays(kind: torch.dtype, dtype: torch.dtype | None, device: torch.device) -> bool:
    """Whether a tensor is wanted as it is in the file."""
    return device.type == "cpu" and (dtype in (None, kind) or not kind.is_floating_point)


def _type_of(entry: Entry, path: Path) -> torch.dtype:
    if entry.kind not in TYPES:
        raise CheckpointError(
            f"{path} holds tensors of type {entry.kind}; known: {', '.join(TYPES)}"
        )
    return TYPES[entry.kind]


def check_shapes(
    expected: Mapping[str, tuple[int, ...]],
    found: Mapping[str, tuple[int, ...]],
    path: Path | str,
    description: str = "its config.json",
) -> None:
    """Raise a CheckpointError that names the first three wrong keys.

    ``description`` is what the expectation comes from.
    """
    wrong = [f"{k} missing" for k in expected if k not in found]
    wrong += [f"{k} unexpected" for k in found if k not in expected]
    wrong += [
        f"{k} has shape {list(found[k])}, expected {list(shape)}"
        for k, shape in expected.items()
        if k in found and found[k] != tuple(shape)
    ]
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"{path} does not fit {description}: {'; '.join(wrong[:3])}{more}. "
            "Check that both come from the same checkpoint."
        )


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Assign tensors to a module built on the meta device."""
    module.load_state_dict(dict(tensors), strict=True, assign=True)
