"""Where checkpoints and their missing pieces are found: by name, by path, in the model folder."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from ..downloads.catalogue import PROMPT_FILE, SD15_VAE, find_model
from ..downloads.store import Store
from ..errors import CheckpointError
from .parts import PROMPT_KEY, REQUIRED_PARTS, FolderPart, Part
from .single_files import SUFFIX, single_files
from .weights import read_header, read_tensors

EMBEDDED_NAME, OFFICIAL_NAME = "mini", "official"
EMBEDDED = Path(__file__).resolve().parent.parent / "assets" / "mini"
DOWNLOAD = "magicface models download"


def resolve_checkpoint(name_or_path: str | Path) -> Path:
    """The folder, or file, of a checkpoint.

    Args:
        name_or_path: "mini" is embedded; "official", unless something of that name is right here,
            is what ``magicface models`` has downloaded; anything else is a path.

    Raises:
        CheckpointError: there is none; says what is there and how to get it.
    """
    if str(name_or_path) == EMBEDDED_NAME:
        return EMBEDDED
    place = Path(name_or_path).expanduser()
    if str(name_or_path) == OFFICIAL_NAME and not place.exists():
        return _official(Store.open())
    if place.is_file() and place.suffix.lower() == SUFFIX:
        return place
    if not place.is_dir():
        kind = f"folder or {SUFFIX} file" if place.exists() else "folder or file"
        raise CheckpointError(
            f"no checkpoint {kind} {place}; give a folder with denoising_unet/ and ID_enc/ or "
            f"with both as {SUFFIX} files, a merged file, '{OFFICIAL_NAME}' or '{EMBEDDED_NAME}'"
        )
    lacking = [part for part in REQUIRED_PARTS if not (place / part).is_dir()]
    if lacking and (len(lacking) < len(REQUIRED_PARTS) or not single_files(place)):
        raise CheckpointError(
            f"{place} lacks the folder {lacking[0]}/; copy it from the checkpoint's source"
        )
    return place


def _official(store: Store) -> Path:
    """The model folder's "official": downloaded, or filled by hand in any of the layouts."""
    model = find_model(OFFICIAL_NAME)
    found = store.checkpoint(OFFICIAL_NAME)
    if found is not None:
        return found
    state, folder = store.state(model), Path(os.path.realpath(store.root)) / OFFICIAL_NAME
    if state == "missing" and folder.is_dir() and single_files(folder):
        return folder
    raise CheckpointError(
        f"the official checkpoint is {state} in {folder}; run: {DOWNLOAD} {OFFICIAL_NAME} "
        f"sd15-vae sd15-text-encoder ({model.about / 1e9:.1f} GB and 0.8 GB), or copy "
        f"denoising_unet/ and ID_enc/ from {model.source} there"
    )


def stored_autoencoder() -> Part | None:
    """Stable Diffusion 1.5's VAE in the model folder."""
    store = Store.open()
    path = store.find(next(f.target for f in SD15_VAE.files if f.target.endswith(SUFFIX)))
    return None if path is None else FolderPart(path.parent)


def stored_prompt(width: int) -> Tensor | None:
    """The fixed prompt's embedding [1, tokens, width] in the model folder, where it fits."""
    path = Store.open().find(PROMPT_FILE)
    if path is None or read_header(path).get(PROMPT_KEY, (0,))[-1] != width:
        return None
    return read_tensors(path, torch.float32, torch.device("cpu"), [PROMPT_KEY])[PROMPT_KEY]
