"""A whole checkpoint in one safetensors file, to hand around and to list in menus.

Tensors have the keys of the folder's files under a prefix, ``denoising_unet.``, ``ID_enc.``,
``vae.`` and ``attribute_controller.``, and the prompt's embedding is ``prompt_embeds``; all but the
first two may be absent. The file's metadata holds the folder's JSON files as text: ``magicface``,
``scheduler``, and each network's ``config.json`` under the network's name; or, from writers that
cannot set metadata, a tensor holds them (``described.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, OutputError
from ..files import check_destination
from .described import DESCRIPTION_KEY, read_description
from .info import CheckpointInfo
from .parts import (
    OPTIONAL_PARTS,
    PROMPT_KEY,
    REQUIRED_PARTS,
    CheckpointFolder,
    CheckpointParts,
    FilePart,
    Part,
)
from .single_files import SUFFIX, SingleFiles, recognise
from .streaming import Planned, planned, tensor_bytes, write_stream
from .weights import Entry, parse_object, read_header, read_metadata, read_tensors

CPU = torch.device("cpu")


@dataclass(frozen=True)
class MergedPart:
    """One network of a merged file."""

    file: MergedFile
    name: str

    @property
    def place(self) -> str:
        """The metadata that describes the network."""
        return f'{self.file.place}, metadata "{self.name}"'

    @property
    def weights(self) -> str:
        """The tensors under the network's prefix."""
        return f"{self.file.place}, {self.name}.*"

    def config(self) -> dict[str, Any]:
        """The network's ``config.json``."""
        return self.file.parsed(self.name)

    def entries(self) -> dict[str, Entry]:
        """The tensors by name without the prefix."""
        return self._file.entries()

    def fingerprint(self) -> str:
        """That of the tensors by name without the prefix."""
        return self._file.fingerprint()

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names, without the prefix, and shapes of the tensors."""
        return self._file.shapes()

    def stream(
        self, dtype: torch.dtype | None, device: torch.device
    ) -> Iterator[tuple[str, Tensor]]:
        """The tensors one by one."""
        return self._file.stream(dtype, device)

    def tensors(self, dtype: torch.dtype | None, device: torch.device) -> dict[str, Tensor]:
        """The tensors by name without the prefix."""
        return self._file.tensors(dtype, device)

    @property
    def _file(self) -> FilePart:
        return FilePart(self.file.place, prefix=f"{self.name}.")


@dataclass(frozen=True)
class MergedFile:
    """A merged checkpoint on disk; only its header is read until tensors are asked for.

    Raises CheckpointError for a file that is damaged or no merged checkpoint.
    """

    place: Path

    def __post_init__(self) -> None:
        lacking = [name for name in REQUIRED_PARTS if name not in self.metadata]
        if lacking:
            raise CheckpointError(
                f"{self.place} is no MagicFace checkpoint: its metadata lacks "
                f"{' and '.join(lacking)}. Give a folder with denoising_unet/ and ID_enc/, or a "
                "file that merge_checkpoint made of one."
            )
        known = tuple(f"{name}." for name in (*REQUIRED_PARTS, *OPTIONAL_PARTS))
        alone = (PROMPT_KEY, DESCRIPTION_KEY)
        stray = [key for key in self.header if not key.startswith(known) and key not in alone]
        if stray:
            raise CheckpointError(
                f"{self.place} holds tensors of no network of MagicFace: {', '.join(stray[:3])}. "
                "Merge the folder again."
            )

    @cached_property
    def header(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of all tensors."""
        return read_header(self.place)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The JSON texts by name."""
        described = DESCRIPTION_KEY in self.header  # whose checks come first
        return read_metadata(self.place) | (read_description(self.place) if described else {})

    def parsed(self, name: str) -> dict[str, Any]:
        """One of the JSON texts."""
        where = f'{self.place}, metadata "{name}",'
        if name not in self.metadata:
            raise CheckpointError(f"{where} is missing; merge the folder again")
        return parse_object(self.metadata[name], where)

    def has(self, name: str) -> bool:
        """Whether there are tensors or a configuration of this network."""
        return name in self.metadata or any(key.startswith(f"{name}.") for key in self.header)

    def part(self, name: str) -> MergedPart:
        """A network by name."""
        return MergedPart(self, name)

    def info(self) -> CheckpointInfo:
        """What the metadata say, or the released checkpoint's values."""
        text = self.metadata.get("magicface")
        if text is None:
            return CheckpointInfo(name=self.place.stem)
        return CheckpointInfo.from_json(text, f'{self.place}, metadata "magicface",')

    def scheduler_config(self) -> dict[str, Any] | None:
        """The noise schedule, where there is one."""
        return self.parsed("scheduler") if "scheduler" in self.metadata else None

    def prompt_embeds(self) -> Tensor | None:
        """The prompt's embedding, where there is one."""
        if PROMPT_KEY not in self.header:
            return None
        return read_tensors(self.place, torch.float32, CPU, [PROMPT_KEY])[PROMPT_KEY]


def open_parts(place: Path) -> CheckpointParts:
    """The parts of a checkpoint: a folder of folders or of single files, or a merged file.

    One of the single files stands for its folder.
    """
    if place.is_file():
        alone = recognise(place) in REQUIRED_PARTS
        return SingleFiles(place.parent, place) if alone else MergedFile(place)
    folder = CheckpointFolder(place)
    return folder if any(folder.has(name) for name in REQUIRED_PARTS) else SingleFiles(place)


def merge_checkpoint(folder: Path, path: Path, dtype: torch.dtype | None = None) -> Path:
    """Write a checkpoint folder as one file; returns it.

    Args:
        folder: in the layout of ``checkpoint.py`` or ``single_files.py``; what it lacks, the file
            lacks too.
        path: ends in ``.safetensors``; the file appears whole or not at all, written tensor by
            tensor.
        dtype: floating type of the networks' weights; default: as in the folder.

    Raises:
        CheckpointError: something in the folder is missing or damaged, or a value does not fit into
            ``dtype``.
        OutputError: the file cannot be written there.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(f'"{path}" does not end in {SUFFIX}; choose such a name.')
    check_destination(path)
    source = open_parts(folder)
    names = [*REQUIRED_PARTS, *(name for name in OPTIONAL_PARTS if source.has(name))]
    metadata = {"format": "pt", "magicface": source.info().to_json()}
    metadata |= {name: json.dumps(source.part(name).config()) for name in names}
    schedule = source.scheduler_config()
    if schedule is not None:
        metadata["scheduler"] = json.dumps(schedule)
    parts = {name: source.part(name) for name in names}
    plan = [
        planned(f"{name}.{key}", entry, dtype)
        for name, part in parts.items()
        for key, entry in part.entries().items()
    ]
    prompt = source.prompt_embeds()
    if prompt is not None:
        plan.append(Planned(PROMPT_KEY, "F32", tuple(prompt.shape), 4 * prompt.numel()))
    return write_stream(path, plan, _contents(parts, prompt, dtype), metadata)


def _contents(
    parts: dict[str, Part], prompt: Tensor | None, dtype: torch.dtype | None
) -> Iterator[bytes]:
    """The bytes of all networks, then of the prompt's embedding."""
    for part in parts.values():
        for key, tensor in part.stream(dtype, CPU):
            _check_finite(tensor, f"{part.weights}, {key}", dtype)
            yield tensor_bytes(tensor)
    if prompt is not None:
        yield tensor_bytes(prompt)


def _check_finite(tensor: Tensor, where: str, dtype: torch.dtype | None) -> None:
    """Raise CheckpointError where the conversion to a smaller type went beyond its range."""
    if dtype is not None and tensor.is_floating_point() and not tensor.isfinite().all():
        raise CheckpointError(
            f"{where} has values that {str(dtype).removeprefix('torch.')} cannot hold; keep this "
            "checkpoint in float32"
        )
