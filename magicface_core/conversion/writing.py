"""Writing tensors where a user may have no room for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from ..errors import OutputError
from ..files import check_destination
from ..network.weights import write_tensors


def write_safely(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file, whole or not at all; raises OutputError."""
    check_destination(path)
    try:
        write_tensors(path, tensors, metadata)
    except (OSError, SafetensorError) as error:
        raise OutputError(f'"{path}" cannot be written: {error}.') from error
