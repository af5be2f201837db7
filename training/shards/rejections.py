"""``rejected.parquet``: one row for every frame and video that gave nothing, with the reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from magicface_core.files import whole_file

from .frames_store import FrameStore, VideoRecord
from .schema import open_writer, rejected_schema

VIDEOS_AT_ONCE = 256  # whose rows make a row group
NO_FRAME = -1
FAILED_VIDEO = "failed video"


@dataclass(frozen=True)
class Failure:
    """A video without a record, and why."""

    identity_id: str
    file: str
    detail: str


def write_rejected(
    path: Path, store: FrameStore, done: Iterable[str], failures: Mapping[str, Failure]
) -> dict[str, int]:
    """Write the rows in the order of the videos; returns how many there are for each reason.

    `done` are the videos with a record in the store. The records are read one after the other,
    because there may be millions of rows.
    """
    import pyarrow as pa

    schema, reasons = rejected_schema(), Counter[str]()
    video_ids = sorted({*done, *failures})
    with whole_file(path) as unfinished, open_writer(unfinished, schema) as writer:
        for start in range(0, len(video_ids), VIDEOS_AT_ONCE):
            some = video_ids[start : start + VIDEOS_AT_ONCE]
            rows = [row for video_id in some for row in _rows(store, failures, video_id)]
            reasons.update(row["reason"] for row in rows)
            if rows:
                writer.write_table(pa.Table.from_pylist(rows, schema))
    return dict(sorted(reasons.items()))


def _rows(
    store: FrameStore, failures: Mapping[str, Failure], video_id: str
) -> list[dict[str, Any]]:
    if video_id in failures:
        return [_whole_video(video_id, failures[video_id])]
    record = store.read(video_id)
    return _frames_and_video(record) if record is not None else []


def _frames_and_video(record: VideoRecord) -> list[dict[str, Any]]:
    who = {"identity_id": record.identity_id, "file": record.file, "detail": ""}
    rows = [{**who, **asdict(rejection)} for rejection in record.rejections]
    if record.failure:
        failure = Failure(record.identity_id, record.file, record.failure)
        rows.append(_whole_video(record.video_id, failure))
    return sorted(rows, key=lambda row: (row["frame"], row["time"], row["reason"]))


def _whole_video(video_id: str, failure: Failure) -> dict[str, Any]:
    nowhere = {"scene": NO_FRAME, "frame": NO_FRAME, "time": 0.0}
    return {"video_id": video_id, **asdict(failure), **nowhere, "reason": FAILED_VIDEO}
