"""A download under way, on disk: ``FILE.part``, and a note of what it is part of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ModelError
from ..files import put_in_place, write_file
from .catalogue import ModelFile
from .records import blocks, is_sha256, read_small_json
from .store import PART_NOTE_SUFFIX, Store


class Unfinished:
    """The part of a file that is here.

    done      bytes on disk
    total     bytes of the whole file, where known
    etag      the server's name of this content, where it has a strong one
    told      sha256 of the whole file, where the hub told it
    earlier   whether some of the bytes are from an earlier run
    """

    def __init__(self, store: Store, file: ModelFile, address: str) -> None:
        self.path = store.part(file)
        self._note = self.path.with_name(file.name + PART_NOTE_SUFFIX)
        for path in (self.path, self._note):
            if path.is_symlink():
                raise ModelError(f'"{path}" is a link; remove it.')
        self._file, self._address = file, address
        self.told: str | None = None
        self._empty()

    def _empty(self) -> None:
        self.done, self.total, self.etag, self.earlier = 0, self._file.size, "", False
        self.digest = hashlib.sha256()

    def take_up(self) -> None:
        """Continue an earlier part where its note shows that it is one of this very file."""
        size = self.path.stat().st_size if self.path.is_file() else 0
        note = read_small_json(self._note) or {}
        etag, told, total = (note.get(key) for key in ("etag", "sha256", "total"))
        known = bool(isinstance(etag, str) and etag) or self._file.pinned
        ours = note.get("address") == self._address and size <= self._file.limit
        if not (size and known and ours):
            self.restart()
            return
        for block in blocks(self.path):
            self.digest.update(block)
        self.told = str(told) if is_sha256(told) else None
        if self.total is None and isinstance(total, int):
            self.total = total
        self.done, self.etag, self.earlier = size, str(etag or ""), True

    def append(self, block: bytes) -> None:
        """Add bytes; raises OSError when the disk is full."""
        with self.path.open("ab") as part:
            part.write(block)
        self.digest.update(block)
        self.done += len(block)

    def write_note(self) -> None:
        """Say on disk what this is part of."""
        note = {
            "address": self._address,
            "etag": self.etag,
            "total": self.total,
            "sha256": self.told,
        }
        write_file(self._note, json.dumps(note) + "\n")

    def restart(self) -> None:
        """Forget the bytes."""
        self.path.unlink(missing_ok=True)
        self._empty()

    def discard(self) -> None:
        """Leave nothing."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Leave nothing where there is nothing to continue."""
        if not self.path.is_file() or not self.path.stat().st_size:
            self.discard()

    def move_to(self, path: Path) -> None:
        """Give the complete file its name."""
        put_in_place(self.path, path)
        self._note.unlink(missing_ok=True)


@contextmanager
def folder_for(path: Path) -> Iterator[None]:
    """Make the folder of a file; what was made and is empty afterwards goes again."""
    first, folder = None, path.parent
    while not folder.exists():
        first, folder = folder, folder.parent
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        folder = path.parent
        while first is not None and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            first, folder = (None if folder == first else first), folder.parent
