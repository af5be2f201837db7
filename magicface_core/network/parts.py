"""Where the parts of a checkpoint come from: folders and files.

See ``single_files.py`` for two files in one folder and ``merged.py`` for one file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import CheckpointError
from .configs import LAYOUT, infer_config
from .fingerprints import fingerprint
from .info import CheckpointInfo, read_info
from .weights import (
    Entry,
    find_weights,
    has_weights,
    network_entries,
    read_config,
    read_header,
    read_object,
    read_tensors,
    stream_tensors,
)

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

    def entries(self) -> dict[str, Entry]:
        """Its tensors as the file's header describes them."""

    def fingerprint(self) -> str:
        """What tells it from others of its shape, see ``fingerprints.py``."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of its tensors, without reading them."""

    def stream(
        self, dtype: torch.dtype | None, device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        """Its tensors one by one, floating ones in ``dtype`` (None: as they are)."""

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """All of them."""


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
class FilePart:
    """A network in a safetensors file, whose configuration shows in its shapes alone.

    prefix is what the network's keys have in common and is taken off; groups, where given, are
    what they begin with after that. Other tensors of the file belong to something else.
    """

    file: Path
    prefix: str = ""
    groups: tuple[str, ...] = ("",)

    @property
    def place(self) -> str:
        """What the configuration was read from."""
        return f"{LAYOUT}, as which it was read"

    @property
    def weights(self) -> str:
        """The file."""
        return f"{self.file}, {self.prefix}*" if self.prefix else str(self.file)

    def config(self) -> dict[str, Any]:
        """The configuration that the shapes show; raises CheckpointError for other layouts."""
        found = infer_config(self.shapes())
        if found is None:
            raise CheckpointError(
                f"{self.weights} is not in {LAYOUT}, and comes without config.json; copy the whole "
                "folder from the checkpoint's source"
            )
        return found

    def entries(self) -> dict[str, Entry]:
        """The network's tensors by name without the prefix; raises CheckpointError."""
        own = network_entries(self.file, self._is_own)
        return {key.removeprefix(self.prefix): entry for key, entry in own.items()}

    def fingerprint(self) -> str:
        """That of the tensors by name without the prefix."""
        return fingerprint(self.file, self.entries())

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names, without the prefix, and shapes of the network's tensors."""
        return {key: entry.shape for key, entry in self.entries().items()}

    def stream(
        self, dtype: torch.dtype | None, device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        """The tensors with their names without the prefix, in the order of ``entries``."""
        own = [key for key in read_header(self.file) if self._is_own(key)]
        for key, tensor in stream_tensors(self.file, dtype, device, own):
            yield key.removeprefix(self.prefix), tensor

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """All of them by name."""
        return dict(self.stream(dtype, device))

    def _is_own(self, key: str) -> bool:
        starts = tuple(self.prefix + group for group in self.groups)
        return key.startswith(starts)


@dataclass(frozen=True)
class FolderPart:
    """A network in diffusers' layout: a weights file and, mostly, ``config.json``."""

    folder: Path

    @property
    def place(self) -> str:
        """The configuration file."""
        return str(self.folder / "config.json") if self._described else self._file.place

    @property
    def weights(self) -> str:
        """The weights file."""
        return self._file.weights

    def config(self) -> dict[str, Any]:
        """``config.json``, or what the shapes show."""
        if not self._described and has_weights(self.folder):
            found = infer_config(self.shapes())
            if found is not None:
                return found
        return read_config(self.folder)  # which says what is missing

    def entries(self) -> dict[str, Entry]:
        """The weights file's tensors."""
        return self._file.entries()

    def fingerprint(self) -> str:
        """That of the weights file."""
        return self._file.fingerprint()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the weights file."""
        return self._file.shapes()

    def stream(
        self, dtype: torch.dtype | None, device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        """The weights file's tensors one by one."""
        return self._file.stream(dtype, device)

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """The weights file's tensors."""
        return self._file.tensors(dtype, device)

    @property
    def _described(self) -> bool:
        return (self.folder / "config.json").is_file()

    @property
    def _file(self) -> FilePart:
        return FilePart(find_weights(self.folder))


@dataclass(frozen=True)
class CheckpointFolder:
    """A checkpoint in the layout of ``checkpoint.py``."""

    place: Path

    def has(self, name: str) -> bool:
        """Whether there is a folder of this name."""
        return (self.place / name).is_dir()

    def part(self, name: str) -> Part:
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
