"""Writing results so that a file is either whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from uuid import uuid4

from .errors import OutputError

_ANY_WRITE_BIT = 0o222


def check_destination(path: str | os.PathLike[str]) -> Path:
    """The real path of a file about to be written; call it before any long work.

    Raises OutputError when the folder is absent or read-only, or when something that is not a
    writable file stands there. A folder or file with no write permission for anyone counts as
    read-only even for an administrator: whoever marked it so meant it.
    """
    target = Path(os.path.realpath(path))
    folder = target.parent
    if not os.path.isdir(folder):
        raise OutputError(f'Folder "{folder}" does not exist; create it or choose another.')
    if not _writable(folder):
        raise OutputError(f'Folder "{folder}" is read-only; choose another.')
    if os.path.isdir(target):
        raise OutputError(f'"{path}" is a folder; add a file name.')
    if os.path.exists(target) and not (os.path.isfile(target) and _writable(target)):
        raise OutputError(f'"{path}" exists and cannot be replaced; choose another name.')
    return target


def write_file(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a whole file (text as UTF-8) at once, replacing an older one only when complete.

    Returns the real path. Raises OutputError, and leaves nothing behind, when that fails.
    """
    target = check_destination(path)
    unfinished = target.with_name(f".{uuid4().hex}.part")
    try:
        _write_through(unfinished, content.encode() if isinstance(content, str) else content)
        os.replace(unfinished, target)
    except OSError as error:
        raise OutputError(f'"{path}" cannot be written: {error.strerror or error}.') from error
    finally:
        unfinished.unlink(missing_ok=True)
    return target


def file_sha256(path: Path) -> str:
    """The checksum of a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_through(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _writable(path: Path) -> bool:
    return bool(path.stat().st_mode & _ANY_WRITE_BIT) and os.access(path, os.W_OK)
