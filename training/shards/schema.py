"""Columns of the Parquet files, and how all of them are written.

Files hold no dates, and equal tables give equal bytes with one version of pyarrow. PNG bytes do not
get smaller, so nothing is compressed and readers can map the files into memory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .errors import ShardError, require

if TYPE_CHECKING:
    import pyarrow as pa

AUS, ANGLES, EMBEDDING = 12, 3, 128
PAIR_PICTURES = ("source", "target", "background", "mask")
FRAME_PICTURES = ("picture", "background", "mask")


def pair_schema() -> pa.Schema:
    """One row of a shard: a source frame, a target frame, and what the edit is conditioned on.

    ``background`` and ``mask`` are the target's; ``quality`` is the lower of both frames' mean AU
    confidences; ``sha256`` is of the four pictures, one after the other.
    """
    import pyarrow as pa

    texts = ("pair_id", "identity_id", "video_id", "video_source")
    numbers = ("time_source", "time_target")
    vectors = {"aus_source": AUS, "aus_target": AUS, "pose_source": ANGLES, "pose_target": ANGLES}
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            *((name, pa.float64()) for name in numbers),
            *((name, pa.binary()) for name in PAIR_PICTURES),
            *((name, pa.list_(pa.float32(), length)) for name, length in vectors.items()),
            *((name, pa.float32()) for name in ("identity_distance", "quality")),
            *((name, pa.string()) for name in ("split", "licence", "estimator", "sha256")),
        ]
    )


def frame_schema() -> pa.Schema:
    """One row of a frame file: a `FrameRecord`, and its backdrop (see `backdrop`)."""
    import pyarrow as pa

    vectors = {"aus": AUS, "confidence": AUS, "pose": ANGLES, "embedding": EMBEDDING}
    return pa.schema(
        [
            *((name, pa.string()) for name in ("video_id", "identity_id")),
            *((name, pa.int32()) for name in ("scene", "track", "frame")),
            ("time", pa.float64()),
            *((name, pa.binary()) for name in FRAME_PICTURES),
            *((name, pa.list_(pa.float32(), length)) for name, length in vectors.items()),
            *((name, pa.float32()) for name in ("face_width", "sharpness", "occlusion", "outside")),
            ("backdrop", pa.binary()),
        ]
    )


def rejected_schema() -> pa.Schema:
    """One row for each frame without a record; scene and frame are -1 for a whole video."""
    import pyarrow as pa

    texts = ("video_id", "identity_id", "file")
    return pa.schema(
        [
            *((name, pa.string()) for name in texts),
            *((name, pa.int32()) for name in ("scene", "frame")),
            ("time", pa.float64()),
            *((name, pa.string()) for name in ("reason", "detail")),
        ]
    )


def open_writer(path: Path, schema: pa.Schema) -> Any:
    """A ParquetWriter for a new file; statistics only of columns that are no pictures."""
    require("pyarrow", "data")
    import pyarrow as pa
    import pyarrow.parquet as parquet

    plain = [
        field.name
        for field in schema
        if not pa.types.is_binary(field.type) and not pa.types.is_fixed_size_list(field.type)
    ]
    return parquet.ParquetWriter(
        path, schema, compression="none", use_dictionary=False, write_statistics=plain
    )


def write_rows(path: Path, schema: pa.Schema, rows: list[dict[str, Any]], group: int) -> None:
    """Write a file with `group` rows in each row group."""
    import pyarrow as pa

    with open_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema), row_group_size=group)


def open_file(path: Path, advice: str) -> Any:
    """A ParquetFile; raises ShardError with `advice` where it is missing or damaged."""
    require("pyarrow", "data")
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        return parquet.ParquetFile(path, memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f'"{path}" cannot be read ({_first_line(error)}); {advice}') from error


def read_columns(path: Path, columns: list[str], advice: str) -> pa.Table:
    """Some columns of a file; raises ShardError with `advice` where it is missing or damaged."""
    import pyarrow as pa

    with open_file(path, advice) as file:
        try:
            return file.read(columns=columns)
        except (OSError, pa.ArrowException) as error:
            raise ShardError(f'"{path}" cannot be read ({_first_line(error)}); {advice}') from error


def as_arrays(table: pa.Table) -> dict[str, np.ndarray | list[bytes]]:
    """Columns of numbers as arrays [N] or [N,length], pictures as lists of bytes."""
    import pyarrow as pa

    columns: dict[str, np.ndarray | list[bytes]] = {}
    for field in table.schema:
        column = table.column(field.name).combine_chunks()
        if pa.types.is_fixed_size_list(field.type):
            numbers = column.flatten().to_numpy()
            columns[field.name] = numbers.reshape(-1, field.type.list_size)
        elif pa.types.is_binary(field.type):
            columns[field.name] = column.to_pylist()
        else:
            columns[field.name] = column.to_numpy(zero_copy_only=False)
    return columns


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
