"""Folders that are filled elsewhere and then get their name; for files see ``whole_file``."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from magicface_core.files import cannot_write

STAGING = ".unfinished-"


@contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """An empty folder inside `folder`, gone at the end.

    Raises OutputError where the disk cannot be written to.
    """
    try:
        staging = folder / f"{STAGING}{uuid4().hex}"
        staging.mkdir(parents=True)
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def make_folder(folder: Path) -> None:
    """A folder for the long work that fills it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


def replace_folder(new: Path, folder: Path) -> None:
    """Put the folder `new` in the place of `folder`; only one that is there is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(new, folder)


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can tell."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
