"""A folder of prepared shards: what its manifest says, compared with what lies there."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import Any

from magicface_core.files import put_in_place

from ..config import DataConfig
from ..shards.errors import ShardError
from ..shards.manifest import FILE_NAME, Manifest, read_manifest
from ..shards.schema import open_file
from ..shards.writing import Shard
from .errors import DataError

COLUMNS = ("pair_id", "source", "target", "background", "mask", "aus_source", "aus_target")
"""What training reads of a shard, and what names a row in messages."""


@dataclass(frozen=True)
class Prepared:
    """One split of prepared shards.

    folder   path or address (s3://...) of the folder with the manifest
    region   what the background pictures black out; empty where the manifest does not say
    sha256   the data's identity, a hash over the shards' hashes
    scratch  local folder for what readers derive from the shards
    """

    folder: str
    split: str
    picture_size: int
    sha256: str
    shards: tuple[Shard, ...]
    scratch: Path
    region: str = ""

    @property
    def remote(self) -> bool:
        """Whether the shards have to be fetched."""
        return is_address(self.folder)

    @property
    def rows(self) -> tuple[int, ...]:
        """Rows of each shard."""
        return tuple(shard.rows for shard in self.shards)

    @property
    def ends(self) -> tuple[int, ...]:
        """Number of rows up to and with each shard."""
        return tuple(accumulate(self.rows))

    def path(self, shard: Shard) -> Path:
        """Where a shard of a local folder lies."""
        return Path(self.folder) / shard.file


def file_name(shard: Shard) -> str:
    """A shard's name within the folder of its split."""
    return PurePosixPath(shard.file).name


def is_address(folder: Path | str) -> bool:
    """Whether this is an address such as s3://bucket/shards instead of a path."""
    return isinstance(folder, str) and ("://" in folder or folder.startswith("local:"))


def open_prepared(folder: Path | str, split: str, config: DataConfig) -> Prepared:
    """Read the manifest and compare it with the shards.

    Sizes, row counts and columns are compared here; ``magicface-data verify`` compares every byte.

    Raises DataError where there is no manifest, or where shards are missing or differ from it.
    """
    scratch = _scratch(folder, config)
    manifest = _described(folder, scratch)
    prepared = Prepared(
        folder=str(folder).rstrip("/"),
        split=split,
        picture_size=manifest.picture_size,
        sha256=manifest.sha256,
        shards=_shards(manifest, split, folder),
        scratch=scratch,
        region=str(manifest.settings.get("video", {}).get("region", "")),
    )
    if not prepared.remote:
        for shard in prepared.shards:
            _compare(prepared, shard)
    return prepared


def filled_splits(folder: Path) -> tuple[str, ...]:
    """The splits of a local folder that have rows. Raises DataError where there is no manifest."""
    return tuple(name for name, shards in _manifest(folder).splits.items() if shards)


def verify_hint(folder: Path | str) -> str:
    """How to find out what is damaged, and to mend it."""
    return (
        f"find the damaged shards with magicface-data verify {folder}, then copy them again or "
        "repeat magicface-data prepare"
    )


def _scratch(folder: Path | str, config: DataConfig) -> Path:
    if config.scratch:
        return Path(config.scratch)
    if is_address(folder):
        raise DataError(
            f"{folder} is fetched while training: set data.scratch to a local folder for it"
        )
    return Path(folder) / "reader"


def _described(folder: Path | str, scratch: Path) -> Manifest:
    if not is_address(folder):
        return _manifest(Path(folder))

    return _manifest(fetch(f"{str(folder).rstrip('/')}/{FILE_NAME}", scratch).parent)


def _shards(manifest: Manifest, split: str, folder: Path | str) -> tuple[Shard, ...]:
    shards = manifest.splits.get(split, ())
    if not shards:
        filled = sorted(name for name, each in manifest.splits.items() if each)
        raise DataError(
            f"{folder} has no pairs in the split {split!r} (there are {filled}); prepare more "
            "identities or choose another split"
        )
    return shards


def _manifest(folder: Path) -> Manifest:
    if not (folder / FILE_NAME).is_file():
        raise DataError(
            f"{folder} holds neither {FILE_NAME} nor edit sets (*.npz); make shards with "
            "magicface-data prepare, or edit sets with python -m magicface_training.data.render"
        )
    try:
        return read_manifest(folder)
    except (ShardError, OSError) as error:
        raise DataError(str(error)) from error


def _compare(prepared: Prepared, shard: Shard) -> None:
    """Size, rows and columns of a shard against the manifest."""
    path, hint = prepared.path(shard), verify_hint(prepared.folder)
    if not path.is_file():
        raise DataError(f"the shard {path} is missing, but the manifest lists it; {hint}")
    size = path.stat().st_size
    if size != shard.bytes:
        raise DataError(f"{path} has {size} bytes, the manifest says {shard.bytes}; {hint}")
    try:
        with open_file(path, hint) as file:
            rows, columns = file.metadata.num_rows, set(file.schema_arrow.names)
    except ShardError as error:
        raise DataError(str(error)) from error
    if rows != shard.rows:
        raise DataError(f"{path} has {rows} rows, the manifest says {shard.rows}; {hint}")
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise DataError(
            f"{path} lacks the columns {missing}; prepare the shards again with this release"
        )


def fetch(address: str, folder: Path) -> Path:
    """Copy one file from an address into a folder, with LitData's downloaders."""
    litdata = open_litdata()
    parent, _, name = address.rpartition("/")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as own:  # other processes fetch it as well
            copy = os.path.join(own, name)
            downloader = litdata.downloader.get_downloader(parent, own, [])
            downloader.download_file(address, copy)
            put_in_place(Path(copy), folder / name)
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise DataError(
            f"cannot fetch {address}: {error}; check the address, the connection and the rights"
        ) from error
    return folder / name


def open_litdata() -> Any:
    try:
        import polars  # noqa: F401  # the ParquetLoader asks for it
        from litdata import streaming
    except ImportError as error:
        raise DataError(
            "data.reader is streaming, which needs LitData: "
            'pip install "comfyui-magicface[streaming]", or set data.reader to memory-mapped'
        ) from error
    return streaming
