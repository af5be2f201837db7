"""What a number was made with: checkpoint files, versions, machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from magicface_core.files import file_sha256

PACKAGES = ("comfyui-magicface", "torch", "diffusers", "numpy", "Pillow", "safetensors")
HASHED_SUFFIXES = (".safetensors", ".json")


def file_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every weight and configuration file below ``folder``, by relative path.

    A checkpoint that is one file has that file's alone.
    """
    if folder.is_file():
        return {folder.name: file_sha256(folder)}
    files = checkpoint_files(folder)
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def checkpoint_files(folder: Path) -> list[Path]:
    """Weights and configuration below ``folder``; a checkpoint that is one file is its own."""
    if folder.is_file():
        return [folder]
    return sorted(path for path in folder.rglob("*") if path.suffix in HASHED_SUFFIXES)


def versions() -> dict[str, str]:
    """Versions of Python and of the installed packages that shape a result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine(device: str) -> dict[str, Any]:
    """Kind of machine, without its name; threads are torch's."""
    import torch

    facts: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "device": device,
    }
    if device.startswith("cuda"):
        facts["gpu"] = torch.cuda.get_device_name(device)
    return facts
