"""Writing results so that a file is either whole or not there.

Every writer of the project goes through ``whole_file``. A run that is killed while it writes leaves
a hidden file that fits ``UNFINISHED``; commands that hold a folder for themselves remove those of
earlier runs.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from .errors import OutputError

UNFINISHED = ".*.part"
_ANY_WRITE_BIT = 0o222
_NEW_FILE = 0o666  # less what the umask takes, as for any new file


def check_destination(path: str | os.PathLike[str]) -> Path:
    """The real path of a file about to be written; call it before any long work.

    Raises OutputError when the folder is absent or read-only, or when something that is not a
    writable file stands there. A folder or file with no write permission for anyone counts as
    read-only even for an administrator: whoever marked it so meant it.
    """
    try:
        target = Path(os.path.realpath(path))
    except FileNotFoundError as error:
        raise OutputError(
            f'"{path}" begins at the working folder, which is gone; change to another folder.'
        ) from error
    folder = target.parent
    if not os.path.isdir(folder):
        raise OutputError(f'Folder "{folder}" does not exist; create it or choose another.')
    if not _writable(folder):
        raise OutputError(f'Folder "{folder}" is read-only; choose another.')
    if os.path.isdir(target):
        raise OutputError(f'"{path}" is a folder; add a file name.')
    if os.path.lexists(target) and not (os.path.isfile(target) and _writable(target)):
        raise OutputError(f'"{path}" exists and cannot be replaced; choose another name.')
    return target


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """An empty file to fill by any means, which becomes `path` at the end of the block.

    Where the block fails, nothing is left of it and what `path` was before stays. A file that is
    replaced passes on its mode and, where the system allows it, its owner; a link stays a link.

    Raises OutputError where the disk does not take the file; any OSError of the block counts as
    that.
    """
    target = check_destination(path)
    unfinished = target.with_name(f".{uuid4().hex}.part")
    try:
        # Never readable by more people than the file that is replaced, not even half written.
        unfinished.touch(0o600 | _mode(target), exist_ok=False)
        yield unfinished
        put_in_place(unfinished, target)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_file(path: str | os.PathLike[str], content: bytes | str) -> Path:
    """Write a whole file (text as UTF-8) at once, replacing an older one only when complete.

    Returns the real path. Raises OutputError, and leaves nothing behind, when that fails.
    """
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    return Path(os.path.realpath(path))


def put_in_place(unfinished: Path, target: Path) -> None:
    """Give a complete file its name, once its content is on the disk; `target` is no link.

    What it replaces passes on its mode and owner. Raises OSError, with both as they were.
    """
    with unfinished.open("r+b") as file:
        if target.exists():
            _keep_rights(target, unfinished)
        os.fsync(file.fileno())
    os.replace(unfinished, target)


def cannot_write(path: str | os.PathLike[str], error: OSError) -> OutputError:
    """The error for a file or folder that the disk does not take."""
    return OutputError(
        f'"{path}" cannot be written: {error.strerror or error}. What was there is kept; make room '
        "or choose another place, then do the same again."
    )


def file_sha256(path: Path) -> str:
    """The checksum of a file of any size, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _keep_rights(old: Path, new: Path) -> None:
    """Give a file mode, group and owner of another, as far as system and file system allow."""
    was = old.stat()
    if hasattr(os, "chown"):
        for owner in (-1, was.st_gid), (was.st_uid, -1):
            with suppress(OSError):
                os.chown(new, *owner)
    with suppress(OSError):
        new.chmod(stat.S_IMODE(was.st_mode))


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else _NEW_FILE


def _writable(path: Path) -> bool:
    return bool(path.stat().st_mode & _ANY_WRITE_BIT) and os.access(path, os.W_OK)
