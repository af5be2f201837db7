"""Where the parts of a checkpoint come from: a folder, or a merged file (``merged.py``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import CheckpointError
from .info import CheckpointInfo, read_info
from .weights import find_weights, read_config, read_header, read_object, read_tensors

REQUIRED_PARTS = ("denoising_unet", "ID_enc")
OPTIONAL_PARTS = ("vae", "attribute_controller")
PROMPT_KEY = "prompt_embeds"
PROMPT = "A close up of a person."
"""What the published checkpoint was trained with in place of a text prompt."""


class Part(Protocol):
    """One network of a checkpoint."""

    @property
    def place(self) -> str:
        """Where the network is described, for messages."""

    @property
    def weights(self) -> str:
        """Where its tensors are, for messages."""

    def config(self) -> dict[str, Any]:
        """Its ``config.json``."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of its tensors, without reading them."""

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """Its tensors, floating ones in ``dtype`` (None: as they are); converted one by one."""


class CheckpointParts(Protocol):
    """A whole checkpoint on disk."""

    @property
    def place(self) -> Path:
        """The folder or file."""

    def has(self, name: str) -> bool:
        """Whether it brings this network."""

    def part(self, name: str) -> Part:
        """A network by name."""

    def info(self) -> CheckpointInfo:
        """What it says about itself; the released values where it says nothing."""

    def scheduler_config(self) -> dict[str, Any] | None:
        """Its noise schedule."""

    def prompt_embeds(self) -> Tensor | None:
        """The fixed prompt's embedding [1, tokens, C] float32."""


@dataclass(frozen=True)
class FolderPart:
    """A network in diffusers' layout: ``config.json`` and a weights file."""

    folder: Path

    @property
    def place(self) -> str:
        """The configuration file."""
        return str(self.folder / "config.json")

    @property
    def weights(self) -> str:
        """The weights file."""
        return str(find_weights(self.folder))

    def config(self) -> dict[str, Any]:
        """``config.json``."""
        return read_config(self.folder)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights file."""
        return read_header(find_weights(self.folder))

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """The weights file's tensors."""
        return read_tensors(find_weights(self.folder), dtype, device)


@dataclass(frozen=True)
class CheckpointFolder:
    """A checkpoint in the layout of ``checkpoint.py``."""

    place: Path

    def has(self, name: str) -> bool:
        """Whether there is a folder of this name."""
        return (self.place / name).is_dir()

    def part(self, name: str) -> FolderPart:
        """The folder of this name."""
        return FolderPart(self.place / name)

    def info(self) -> CheckpointInfo:
        """``magicface.json``, or the released checkpoint's values."""
        return read_info(self.place)

    def scheduler_config(self) -> dict[str, Any] | None:
        """``scheduler_config.json``, where it exists."""
        path = self.place / "scheduler_config.json"
        return read_object(path) if path.is_file() else None

    def prompt_embeds(self) -> Tensor | None:
        """The tensor in ``prompt_embeds.safetensors``, where it exists."""
        path = self.place / "prompt_embeds.safetensors"
        if not path.is_file():
            return None
        found = read_header(path)
        if PROMPT_KEY not in found:
            raise CheckpointError(
                f"{path} holds {sorted(found)[:3]}, expected the key {PROMPT_KEY}"
            )
        return read_tensors(path, torch.float32, torch.device("cpu"))[PROMPT_KEY]
