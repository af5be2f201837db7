"""One run at a time in an output folder, so that none removes what another is still writing."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from magicface_core.errors import MagicFaceError
from magicface_core.files import cannot_write, write_file

from .folders import make_folder

LOCK, HOLDER = ".run.lock", ".run.txt"


class FolderInUseError(MagicFaceError):
    """An output folder that another run is writing to."""


@contextmanager
def claim_folder(folder: Path, leftovers: Sequence[str] = ()) -> Iterator[None]:
    """Hold `folder`, which is made where it is missing, for this run alone.

    The operating system holds the lock, and gives it back when the run ends or is killed.

    Args:
        folder: where the run writes.
        leftovers: patterns below `folder` of what a killed run leaves; they are removed first.

    Raises:
        FolderInUseError: another run holds the folder; the message names it.
        OutputError: the folder cannot be written to.
    """
    make_folder(folder)
    lock = FileLock(folder / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        raise FolderInUseError(
            f'{_holder(folder)} uses "{folder}". Let it end or stop it, or choose another folder.'
        ) from error
    except OSError as error:
        raise cannot_write(folder, error) from error
    try:
        write_file(folder / HOLDER, _this_run())
        _remove(folder, leftovers)
        yield
    finally:
        (folder / HOLDER).unlink(missing_ok=True)
        with suppress(OSError):  # Windows keeps it while it is open; filelock removes it there
            (folder / LOCK).unlink()
        lock.release()


def _remove(folder: Path, leftovers: Sequence[str]) -> None:
    try:
        for left in (path for pattern in leftovers for path in folder.glob(pattern)):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from error


def _this_run() -> str:
    now = datetime.now().astimezone().isoformat(" ", "seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {now}"


def _holder(folder: Path) -> str:
    """Which run holds the folder; one that has only just begun has not said so yet."""
    try:
        return f"Another run ({(folder / HOLDER).read_text(encoding='utf-8')})"
    except (OSError, UnicodeDecodeError):
        return "Another run"
