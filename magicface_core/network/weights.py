"""Reading and writing safetensors.

Shapes and keys are checked against the file's header before anything is loaded.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..errors import CheckpointError

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
WEIGHTS_NAMES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


def find_weights(folder: Path) -> Path:
    """The weights file of a diffusers folder."""
    for name in WEIGHTS_NAMES:
        if (folder / name).is_file():
            return folder / name
    raise CheckpointError(
        f"{folder} lacks {WEIGHTS_NAMES[0]}; copy the file from the checkpoint's source"
    )


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
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}") from error
    return parse_object(text, str(path))


def parse_object(text: str, where: str) -> dict[str, Any]:
    """The JSON object in a text; ``where`` names it in messages."""
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise CheckpointError(f"{where} is not valid JSON: {error}") from error
    if not isinstance(tree, dict):
        raise CheckpointError(f"{where} holds {type(tree).__name__}, not an object")
    return tree


def read_header(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a safetensors file, without its data."""
    _check_header_size(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {k: tuple(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file ({error}); copy it again"
        ) from error


def read_metadata(path: Path) -> dict[str, str]:
    """The texts in a safetensors file's header; check it with ``read_header`` first."""
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def _check_header_size(path: Path) -> None:
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

    One by one, so that a conversion needs no second copy of the whole file.
    """
    with safe_open(path, framework="pt") as file:
        wanted = file.keys() if keys is None else keys
        return {key: _placed(file.get_tensor(key), dtype, device) for key in wanted}


def _placed(tensor: Tensor, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    return tensor.to(device, dtype if tensor.is_floating_point() else None)


def check_shapes(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]], path: Path | str
) -> None:
    """Raise a CheckpointError that names the first three wrong keys."""
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
            f"{path} does not fit its config.json: {'; '.join(wrong[:3])}{more}. "
            "Check that both come from the same checkpoint."
        )


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Assign tensors to a module built on the meta device."""
    module.load_state_dict(dict(tensors), strict=True, assign=True)


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write atomically: a temporary file beside the target, then a rename."""
    temporary = path.with_name(path.name + ".partial")
    try:
        save_file(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            temporary,
            dict(metadata or {"format": "pt"}),
        )
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
