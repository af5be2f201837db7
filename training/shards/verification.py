"""Whether a folder of shards is what its manifest says."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from magicface_core.files import file_sha256

from .errors import ShardError
from .manifest import Manifest, read_manifest
from .schema import PAIR_PICTURES, open_file, pair_schema
from .writing import Shard

ADVICE = "copy it again from where it was made, or prepare the shards again"


def verify(folder: Path | str, *, deep: bool = False) -> Manifest:
    """Check every shard: there, unchanged, readable; no shard too many; no identity in two splits.

    `deep` also compares every row's pictures with the row's checksum.
    Raises ShardError for the first thing that is wrong, with what to do.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    _refuse_strangers(folder, manifest)
    splits: dict[str, str] = {}
    pair_ids: set[str] = set()
    for split, shards in manifest.splits.items():
        for shard in shards:
            _check_file(folder / shard.file, shard)
            for row in _rows(folder / shard.file, deep):
                _check_row(row, folder / shard.file, split, splits, pair_ids)
    return manifest


def _refuse_strangers(folder: Path, manifest: Manifest) -> None:
    known = {shard.file for shards in manifest.splits.values() for shard in shards}
    for split in manifest.splits:
        for path in sorted((folder / split).glob("*.parquet")):
            if path.relative_to(folder).as_posix() not in known:
                raise ShardError(
                    f'"{path}" is not in the manifest: shards of two preparations are mixed. '
                    "Remove it, or prepare the shards again."
                )


def _check_file(path: Path, shard: Shard) -> None:
    if not path.is_file():
        raise ShardError(f'"{path}" is missing; {ADVICE}.')
    if path.stat().st_size != shard.bytes:
        size = path.stat().st_size
        raise ShardError(f'"{path}" has {size} bytes instead of {shard.bytes}; {ADVICE}.')
    if file_sha256(path) != shard.sha256:
        raise ShardError(f'"{path}" is damaged: its sha256 is not the manifest\'s; {ADVICE}.')
    with open_file(path, ADVICE) as file:
        if file.metadata.num_rows != shard.rows:
            count = file.metadata.num_rows
            raise ShardError(f'"{path}" has {count} rows instead of {shard.rows}; {ADVICE}.')
        if not file.schema_arrow.equals(pair_schema()):
            raise ShardError(f'"{path}" has other columns than this version writes; {ADVICE}.')


def _rows(path: Path, deep: bool) -> Iterator[dict[str, Any]]:
    columns = ["pair_id", "identity_id", "split", "licence"]
    if deep:
        columns += [*PAIR_PICTURES, "sha256"]
    with open_file(path, ADVICE) as file:
        for group in range(file.num_row_groups):
            yield from file.read_row_group(group, columns=columns).to_pylist()


def _check_row(
    row: dict[str, Any], path: Path, split: str, splits: dict[str, str], pair_ids: set[str]
) -> None:
    identity_id, pair_id = row["identity_id"], row["pair_id"]
    where = f'Row {pair_id} of "{path}"'
    if splits.setdefault(identity_id, split) != split or row["split"] != split:
        raise ShardError(
            f"{where} shows {identity_id}, of another split; prepare the shards again."
        )
    if pair_id in pair_ids:
        raise ShardError(f"{where} is there twice; prepare the shards again.")
    pair_ids.add(pair_id)
    if not row["licence"]:
        raise ShardError(f"{where} has no licence; prepare the shards again with --licence.")
    if "sha256" in row:
        digest = hashlib.sha256(b"".join(row[name] for name in PAIR_PICTURES)).hexdigest()
        if digest != row["sha256"]:
            raise ShardError(f"{where} has pictures that do not match its sha256; {ADVICE}.")
