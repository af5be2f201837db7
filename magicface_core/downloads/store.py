"""The folder that downloaded models live in, and what state they are in. No network here.

The folder is, in this order: the one given, the environment's ``MAGICFACE_MODELS``, or the
platform's cache: ``~/.cache/magicface`` (or ``$XDG_CACHE_HOME/magicface``) on Linux,
``~/Library/Caches/magicface`` on macOS, ``%LOCALAPPDATA%\\magicface`` on Windows. Users of ComfyUI
give ``ComfyUI/models/magicface``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import ModelError
from ..files import file_sha256
from .catalogue import Model, ModelFile, find_model
from .records import Record, git_blob_of, read_record, record_path, write_record

VARIABLE = "MAGICFACE_MODELS"
PART_SUFFIX = ".part"
PART_NOTE_SUFFIX = ".part.json"

State = Literal["missing", "partial", "present", "converted", "corrupt"]
Finding = Literal["ok", "recorded", "missing", "corrupt"]


def default_root() -> Path:
    """The model folder where none is given; it need not exist."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "magicface"


@dataclass(frozen=True)
class Store:
    """A model folder."""

    root: Path

    @classmethod
    def open(cls, folder: str | os.PathLike[str] | None = None) -> Store:
        """The folder given, else that of the environment, else the platform's."""
        return cls(Path(folder).expanduser() if folder else default_root())

    def place(self, target: str) -> Path:
        """The path of a target; raises ModelError where a link leads out of the folder."""
        root = Path(os.path.realpath(self.root))
        path = root.joinpath(*target.split("/"))
        parent = Path(os.path.realpath(path.parent))
        if parent != root and root not in parent.parents:
            raise ModelError(
                f'"{path.parent}" is a link that leads out of the model folder "{root}"; remove '
                f"the link, or choose the other folder by --dir or {VARIABLE}."
            )
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise ModelError(f'"{path}" is not a plain file; move it away.')
        return path

    def part(self, file: ModelFile) -> Path:
        """Where an unfinished download lies."""
        path = self.place(file.target)
        return path.with_name(path.name + PART_SUFFIX)

    # --- states, by names and sizes alone ---------------------------------------------------------

    def state_of(self, file: ModelFile) -> State:
        """Whether the file is there; sizes are compared, contents are not."""
        converted = None if file.converted is None else self.place(file.converted)
        if converted is not None and converted.exists():
            return "converted" if self._whole(converted, None) else "corrupt"
        path = self.place(file.target)
        if path.exists():
            return "present" if self._whole(path, file.size) else "corrupt"
        return "partial" if self.part(file).exists() else "missing"

    def state(self, model: Model) -> State:
        """The state of all files together."""
        found = {self.state_of(file) for file in model.files}
        if "corrupt" in found:
            return "corrupt"
        if len(found) == 1:
            return found.pop()
        return "partial" if found & {"missing", "partial"} else "converted"

    def size(self, model: Model) -> int:
        """Bytes on disk, unfinished downloads included."""
        paths = [path for path in self._files_of(model) if path.is_file() and not path.is_symlink()]
        return sum(path.stat().st_size for path in paths)

    def find(self, target: str) -> Path | None:
        """The path of a target that is there as a plain file, else None."""
        path = self.place(target)
        return path if path.is_file() else None

    def checkpoint(self, name: str) -> Path | None:
        """The checkpoint folder of a model such as "official", when its networks are there."""
        if self.state(find_model(name)) not in ("present", "converted"):
            return None
        return Path(os.path.realpath(self.root)) / name

    # --- checks of contents -----------------------------------------------------------------------

    def verify(self, file: ModelFile) -> Finding:
        """Check a file's content, and that of its converted form where there is one."""
        found, original = self._verify_converted(file), self.verify_original(file)
        if found is None or (found != "corrupt" and original == "corrupt"):
            return original
        return found

    def verify_original(self, file: ModelFile) -> Finding:
        """Compare the content with the catalogue or the record; record it where neither knows."""
        path = self.place(file.target)
        if not path.exists():
            return "missing"
        if not self._whole(path, file.size):
            return "corrupt"
        if file.git_blob is not None and git_blob_of(path) != file.git_blob:
            return "corrupt"
        sha256, record = file_sha256(path), read_record(path)
        expected = file.sha256 or (record.sha256 if record else None)
        if expected is not None:
            return "ok" if sha256 == expected else "corrupt"
        unknown = file.git_blob is None
        write_record(path, Record(file.address, path.stat().st_size, sha256, None, unknown))
        return "recorded" if unknown else "ok"

    def _verify_converted(self, file: ModelFile) -> Finding | None:
        path = None if file.converted is None else self.place(file.converted)
        if path is None or not path.exists():
            return None
        record = read_record(path)
        if record is None:
            write_record(
                path, Record(file.address, path.stat().st_size, file_sha256(path), None, True)
            )
            return "recorded"
        return "ok" if record.sha256 == file_sha256(path) else "corrupt"

    def _whole(self, path: Path, size: int | None) -> bool:
        """Whether a file exists in the size that the catalogue, or else its record, says."""
        if not path.is_file():
            return False
        record = read_record(path) if size is None else None
        expected = size if record is None else record.size
        return path.stat().st_size == (path.stat().st_size if expected is None else expected)

    # --- removing ---------------------------------------------------------------------------------

    def remove(self, model: Model) -> int:
        """Delete a model's files, also unfinished ones; returns the bytes freed.

        Only files of the catalogue are touched, and folders that are empty afterwards.
        """
        freed = 0
        for path in self._files_of(model):
            if path.is_file() or path.is_symlink():
                freed += 0 if path.is_symlink() else path.stat().st_size
                path.unlink()
        for file in model.files:
            self.prune(self.place(file.target).parent)
        return freed

    def remove_converted(self, file: ModelFile) -> None:
        """Delete a file's converted form and its record."""
        if file.converted is not None:
            path = self.place(file.converted)
            path.unlink(missing_ok=True)
            record_path(path).unlink(missing_ok=True)

    def prune(self, folder: Path) -> None:
        """Remove a folder inside the root, and its parents, as far as they are empty."""
        root = Path(os.path.realpath(self.root))
        while root in folder.parents and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent

    def _files_of(self, model: Model) -> Iterator[Path]:
        targets = [file.target for file in model.files]
        targets += [file.converted for file in model.files if file.converted is not None]
        for target in (*targets, *model.products):
            path = self.place(target)
            yield from (path, record_path(path))
            yield from (path.with_name(path.name + end) for end in (PART_SUFFIX, PART_NOTE_SUFFIX))
