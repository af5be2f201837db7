"""A checkpoint whose networks are single files in one folder, told apart by their tensors.

The denoiser has ``au_aug_mlp``; the ID encoder is a UNet without it; an autoencoder may lie beside
them, by itself or inside a single-file Stable Diffusion 1.5 checkpoint. Names do not matter. The
folder's JSON files and ``prompt_embeds.safetensors`` are those of ``checkpoint.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..errors import CheckpointError
from .ldm import AUTOENCODER_GROUPS, CHECKPOINT_PREFIX
from .parts import REQUIRED_PARTS, CheckpointFolder, FilePart, FolderPart, Part
from .unet import RELEASED_AU_PREFIX
from .weights import read_header

SUFFIX = ".safetensors"
MAX_FILES = 100
DESCRIPTIONS = {
    "denoising_unet": "a denoising UNet (a UNet with au_aug_mlp)",
    "ID_enc": "an ID encoder (a UNet without au_aug_mlp)",
}


def recognise(path: Path) -> str | None:
    """The part of a checkpoint that a file is; None for anything else.

    Raises CheckpointError for a damaged file.
    """
    keys = read_header(path).keys()
    if "conv_in.weight" in keys and any(key.startswith("mid_block.attentions.") for key in keys):
        own = any(key.startswith(RELEASED_AU_PREFIX) for key in keys)
        return REQUIRED_PARTS[0] if own else REQUIRED_PARTS[1]
    return "vae" if _autoencoder_prefix(keys) is not None else None


def autoencoder_part(path: Path) -> Part:
    """An autoencoder in a diffusers folder, or a file with or without the rest of its checkpoint.

    A folder may also be a whole diffusers pipeline. Raises CheckpointError for anything else.
    """
    if path.is_dir():
        inner = path / "vae"
        return FolderPart(inner if inner.is_dir() else path)
    if not path.is_file() or path.suffix.lower() != SUFFIX:
        raise CheckpointError(
            f"no VAE {path}: give a diffusers folder, or a {SUFFIX} file of a Stable Diffusion 1.5 "
            "VAE or checkpoint"
        )
    keys = read_header(path).keys()
    prefix = _autoencoder_prefix(keys)
    if prefix is None:
        raise CheckpointError(
            f"{path} holds no autoencoder (first_stage_model.* or encoder.* and decoder.*); give "
            "a Stable Diffusion 1.5 VAE or checkpoint"
        )
    if any(key.startswith("conditioner.") for key in keys):
        raise CheckpointError(
            f"{path} is Stable Diffusion XL, whose VAE has another scale; give Stable Diffusion "
            "1.5's VAE"
        )
    return FilePart(path, prefix, AUTOENCODER_GROUPS)


def _autoencoder_prefix(keys: Iterable[str]) -> str | None:
    own = set(keys)
    for prefix in (CHECKPOINT_PREFIX, ""):
        if {f"{prefix}encoder.conv_in.weight", f"{prefix}decoder.conv_in.weight"} <= own:
            return prefix
    return None


@dataclass(frozen=True)
class SingleFiles(CheckpointFolder):
    """A folder of single files.

    chosen is one of them that was named by the user, and wins over others of its kind. Raises
    CheckpointError where a network is missing, or there are several of a kind.
    """

    chosen: Path | None = None

    def __post_init__(self) -> None:
        for name in REQUIRED_PARTS:
            if name not in self._files:
                raise CheckpointError(
                    f"{self.place} lacks {DESCRIPTIONS[name]}; copy its {SUFFIX} file there. "
                    f"There: {self._contents()}."
                )

    def has(self, name: str) -> bool:
        """Whether there is a file, or else a folder, of this network."""
        return name in self._files or super().has(name)

    def part(self, name: str) -> Part:
        """A network by name."""
        if super().has(name):
            return super().part(name)
        if name not in self._files:
            return FolderPart(self.place / name)  # which says what is missing
        path = self._files[name]
        return autoencoder_part(path) if name == "vae" else FilePart(path)

    @cached_property
    def _files(self) -> dict[str, Path]:
        """Files by the part that they are."""
        found: dict[str, list[Path]] = {}
        for path in single_files(self.place):
            part = recognise(path)
            if part is not None:
                found.setdefault(part, []).append(path)
        return {part: self._only(part, paths) for part, paths in found.items()}

    def _only(self, part: str, paths: list[Path]) -> Path:
        if self.chosen in paths:
            return self.chosen
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise CheckpointError(
                f"{self.place} holds several files of {part}: {names}; keep one of them there, or "
                "name the denoising UNet's file instead of the folder"
            )
        return paths[0]

    def _contents(self) -> str:
        known = {path: part for part, path in self._files.items()}
        files = list(single_files(self.place))
        return ", ".join(f"{path.name} ({known.get(path, 'none')})" for path in files) or "nothing"


def single_files(folder: Path) -> list[Path]:
    """The safetensors files right inside a folder, by name; raises CheckpointError for too many."""
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() == SUFFIX and p.is_file())
    if len(found) > MAX_FILES:
        raise CheckpointError(
            f"{folder} holds {len(found)} {SUFFIX} files; give the checkpoint a folder of its own"
        )
    return found
