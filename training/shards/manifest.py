"""``manifest.json``: what a folder of shards holds, and the checksums that prove it.

It carries no dates and no paths of the machine that made it, so equal data have equal manifests.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magicface_core.files import write_file

from .errors import ShardError
from .writing import Shard

FORMAT, VERSION = "magicface-pairs", 1
FILE_NAME = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """The content of the file.

    picture_size  side of the pictures in pixels
    splits        the shards of "train", "validation" and "test"
    counts        videos, frames, candidates, pairs and identities by split, rejections by reason,
                  frames in pairs by their enlargement
    licences      under which the videos may be used; never empty
    consent       what the people shown agreed to
    versions      of the packages and backends that made the shards
    settings      of the preparation
    """

    picture_size: int
    splits: Mapping[str, tuple[Shard, ...]]
    counts: Mapping[str, Any]
    licences: tuple[str, ...]
    consent: str
    versions: Mapping[str, str]
    settings: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """The identity of the data: a hash over the hashes of all shards."""
        digest = hashlib.sha256()
        for split in sorted(self.splits):
            for shard in self.splits[split]:
                digest.update(f"{shard.file}\n{shard.sha256}\n".encode())
        return digest.hexdigest()

    def paths(self, folder: Path, split: str) -> list[Path]:
        """The files of a split, in order."""
        return [folder / shard.file for shard in self.splits.get(split, ())]

    def to_json(self) -> str:
        """Readable, with format, version and `sha256`."""
        tree = {
            "format": FORMAT,
            "version": VERSION,
            "picture_size": self.picture_size,
            "splits": {name: [asdict(s) for s in shards] for name, shards in self.splits.items()},
            "counts": self.counts,
            "licences": list(self.licences),
            "consent": self.consent,
            "versions": self.versions,
            "settings": self.settings,
            "sha256": self.sha256,
        }
        return json.dumps(tree, indent=2) + "\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Put the manifest into its folder, whole. Raises OutputError."""
    write_file(folder / FILE_NAME, manifest.to_json())


def read_manifest(folder: Path | str) -> Manifest:
    """The manifest of a folder; the shards are not looked at (see `verification`).

    Raises ShardError where there is none, or it is of another format or not whole.
    """
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        raise ShardError(
            f'There is no {FILE_NAME} in "{folder}": the folder is not one of '
            "`magicface-data prepare`, or its preparation did not end; run it again."
        )
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        kind = tree.get("format"), tree.get("version")
    except (ValueError, AttributeError) as error:
        raise ShardError(f'"{path}" is no manifest: {error}. Prepare the shards again.') from error
    if kind != (FORMAT, VERSION):
        raise ShardError(
            f'"{path}" is of format {kind[0]!r}, version {kind[1]!r}; this program reads '
            f'"{FORMAT}", version {VERSION}.'
        )
    return _parsed(tree, path)


def _parsed(tree: Mapping[str, Any], path: Path) -> Manifest:
    try:
        manifest = Manifest(
            picture_size=int(tree["picture_size"]),
            splits={name: _shards(rows) for name, rows in tree["splits"].items()},
            counts=tree["counts"],
            licences=tuple(tree["licences"]),
            consent=tree["consent"],
            versions=tree["versions"],
            settings=tree["settings"],
        )
        recorded = tree["sha256"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = f"{type(error).__name__}: {error}"
        raise ShardError(
            f'"{path}" is not whole ({text}); restore it, or prepare the shards again.'
        ) from error
    if not manifest.licences:
        raise ShardError(f'"{path}" names no licence; prepare the shards again with --licence.')
    if recorded != manifest.sha256:
        raise ShardError(
            f'"{path}" does not match itself: its sha256 is not that of the shards it lists. '
            "Restore it, or prepare the shards again."
        )
    return manifest


def _shards(rows: Sequence[Mapping[str, Any]]) -> tuple[Shard, ...]:
    shards = tuple(Shard(**row) for row in rows)
    for shard in shards:
        parts = Path(shard.file).parts
        if len(parts) != 2 or ".." in parts or Path(shard.file).is_absolute():
            raise ValueError(f"a shard lies at {shard.file!r}, outside its split")
    return shards
