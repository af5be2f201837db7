"""Pairs as Parquet shards.

Rows stand in an order that a hash of the seed and the pair decides, so that a shard holds many
identities. Which row is in which shard depends on the pictures' sizes and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from magicface_core.files import file_sha256, whole_file

from .frames_store import FrameStore, VideoRecord
from .pairing import Frame, Pair
from .schema import PAIR_PICTURES, open_writer, pair_schema

ROWS_PER_GROUP = 64
OPEN_FILES = 64
FRAME_COLUMNS = (
    "video_id", "time", "picture", "background", "mask", "aus", "confidence", "pose",
)  # fmt: skip


@dataclass(frozen=True)
class Shard:
    """One file: its path below the folder with forward slashes, rows, bytes and checksum."""

    file: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Labels:
    """What every row of a split carries."""

    split: str
    licence: str
    seed: int


class PairReader:
    """Rows of shards from the frame files; a few files stay open at a time."""

    def __init__(self, store: FrameStore, records: Mapping[str, VideoRecord]) -> None:
        self._records = records
        # Mapped into memory; a file that falls out of the cache is closed with its last reference.
        self._open = lru_cache(maxsize=OPEN_FILES)(store.open)

    def row(self, pair: Pair, labels: Labels) -> dict[str, Any]:
        """One row of `pair_schema`."""
        source, target = self._frame(pair.source), self._frame(pair.target)
        pictures = (source["picture"], target["picture"], target["background"], target["mask"])
        quality = min(np.mean(frame["confidence"]) for frame in (source, target))
        return {
            "pair_id": pair.pair_id,
            "identity_id": pair.identity_id,
            "video_id": pair.target.video_id,
            "video_source": pair.source.video_id,
            "time_source": source["time"],
            "time_target": target["time"],
            **dict(zip(PAIR_PICTURES, pictures, strict=True)),
            "aus_source": source["aus"],
            "aus_target": target["aus"],
            "pose_source": source["pose"],
            "pose_target": target["pose"],
            "identity_distance": pair.identity_distance,
            "quality": float(quality),
            "split": labels.split,
            "licence": labels.licence,
            "estimator": self._records[pair.target.video_id].estimator,
            "sha256": hashlib.sha256(b"".join(pictures)).hexdigest(),
        }

    def _frame(self, frame: Frame) -> dict[str, Any]:
        file = self._open(frame.video_id)
        (row,) = file.read_row_group(frame.row, columns=list(FRAME_COLUMNS)).to_pylist()
        return row


def write_split(
    folder: Path, pairs: Sequence[Pair], reader: PairReader, labels: Labels, shard_bytes: int
) -> list[Shard]:
    """Write ``SPLIT/shard-00000.parquet`` and on, each closed once it holds `shard_bytes`.

    Raises OutputError where the disk cannot be written to, ShardError for a damaged frame file.
    """
    ordered = _in_order(pairs, labels.seed)
    groups = (ordered[k : k + ROWS_PER_GROUP] for k in range(0, len(ordered), ROWS_PER_GROUP))
    rows = ([reader.row(pair, labels) for pair in group] for group in groups)
    (folder / labels.split).mkdir(parents=True)
    shards: list[Shard] = []
    for group in rows:
        path = folder / labels.split / f"shard-{len(shards):05d}.parquet"
        count = _write_shard(path, group, rows, shard_bytes)
        name = path.relative_to(folder).as_posix()
        shards.append(Shard(name, count, path.stat().st_size, file_sha256(path)))
    return shards


def _write_shard(
    path: Path,
    first: list[dict[str, Any]],
    following: Iterator[list[dict[str, Any]]],
    shard_bytes: int,
) -> int:
    """Write row groups until the shard is full or there are no more; returns the rows."""
    import pyarrow as pa

    schema, group, count, size = pair_schema(), first, 0, 0
    with ExitStack() as stack:
        unfinished = stack.enter_context(whole_file(path))
        writer = stack.enter_context(open_writer(unfinished, schema))
        while group:
            writer.write_table(pa.Table.from_pylist(group, schema), row_group_size=len(group))
            count += len(group)
            size += sum(len(row[name]) for row in group for name in PAIR_PICTURES)
            group = next(following, []) if size < shard_bytes else []
    return count


def _in_order(pairs: Sequence[Pair], seed: int) -> list[Pair]:
    def place(pair: Pair) -> bytes:
        return hashlib.sha256(f"{seed}\n{pair.pair_id}".encode()).digest()

    return sorted(pairs, key=place)
