"""Files that are whole or not there, written by something that wants a path."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from magicface_core.errors import OutputError

from ..durable import flush
from .errors import FULL_OR_CLOSED

STAGING = ".unfinished-"
_PART = ".part"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end, or nothing when that fails.

    Raises OutputError for a full or closed disk; other faults of a disk may pass, and stay OSError.
    """
    unfinished = path.with_name(f".{uuid4().hex}{_PART}")
    try:
        yield unfinished
        flush(unfinished)
        os.replace(unfinished, path)
    except OSError as error:
        if error.errno not in FULL_OR_CLOSED:
            raise
        raise _cannot_write(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


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
        raise _cannot_write(folder, error) from error


def make_folder(folder: Path) -> None:
    """A folder for the long work that fills it. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def replace_folder(new: Path, folder: Path) -> None:
    """Put the folder `new` in the place of `folder`; only one that is there is removed."""
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(new, folder)


def _cannot_write(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f'"{path}" cannot be written: {error.strerror or error}. What is finished is kept; '
        "make room or choose another folder, then run the same command again."
    )
