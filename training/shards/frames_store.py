"""The frames of each video on disk: ``VIDEO_ID.parquet``, and ``VIDEO_ID.json`` once it is done.

A record names the settings and the video's checksum, so that a video is prepared again when either
has changed, and only then. A video that gave nothing has a record as well, which says why.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from magicface_core.files import file_sha256, whole_file, write_file

from ..videos.records import FrameRecord, PreparedVideo, Rejection, Video, VideoSettings
from .backdrop import backdrop
from .schema import as_arrays, frame_schema, open_file, read_columns, write_rows

FORMAT, VERSION = "magicface-frames", 2
ADVICE = "delete it and run the same command again: it will be made anew"


@dataclass(frozen=True)
class VideoRecord:
    """What one video gave, without its pictures.

    key       of the settings, see `settings_key`
    sha256, size, modified_ns  of the video file
    frames    rows of its frame file; there is none for 0
    failure   "" or why the whole video was skipped
    estimator, parser  backends that made the frames
    """

    video_id: str
    identity_id: str
    file: str
    key: str
    sha256: str
    size: int
    modified_ns: int
    frames: int = 0
    failure: str = ""
    estimator: str = ""
    parser: str = ""
    rejections: tuple[Rejection, ...] = ()

    def to_json(self) -> str:
        """Readable, with format and version."""
        tree = {"format": FORMAT, "version": VERSION, **asdict(self)}
        tree["rejections"] = [[r.scene, r.frame, r.time, r.reason] for r in self.rejections]
        return json.dumps(tree, indent=1) + "\n"


def settings_key(video: Video, settings: VideoSettings) -> str:
    """What a frame file depends on beside the video's bytes, as 64 hexadecimal digits."""
    parts = [FORMAT, VERSION, video.video_id, video.identity_id, settings.to_json()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


@dataclass(frozen=True)
class FrameStore:
    """The folder of the frame files."""

    folder: Path

    def frame_file(self, video_id: str) -> Path:
        """Where the frames of a video lie."""
        return self.folder / f"{video_id}.parquet"

    def record_file(self, video_id: str) -> Path:
        """Where the record of a video lies."""
        return self.folder / f"{video_id}.json"

    def read(self, video_id: str) -> VideoRecord | None:
        """The record of a finished video; None where there is none that can be used."""
        try:
            tree = json.loads(self.record_file(video_id).read_text(encoding="utf-8"))
            if (tree.pop("format"), tree.pop("version")) != (FORMAT, VERSION):
                return None
            rejections = tuple(Rejection(video_id, *row) for row in tree.pop("rejections"))
            record = VideoRecord(**tree, rejections=rejections)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None
        present = self.frame_file(video_id).is_file()
        return record if present or not record.frames else None

    def up_to_date(self, video: Video, settings: VideoSettings) -> VideoRecord | None:
        """The record of a video, where neither its bytes nor the settings have changed.

        A file of the recorded size and time is taken to be unchanged; else its checksum decides.
        """
        record = self.read(video.video_id)
        if record is None or record.key != settings_key(video, settings):
            return None
        status = video.path.stat()
        if status.st_size != record.size:
            return None
        if status.st_mtime_ns == record.modified_ns:
            return record
        if file_sha256(video.path) != record.sha256:
            return None
        record = replace(record, modified_ns=status.st_mtime_ns)
        write_file(self.record_file(video.video_id), record.to_json())
        return record

    def write(self, prepared: PreparedVideo, settings: VideoSettings) -> VideoRecord:
        """Keep what a video gave: the frames first, then the record that makes them count."""
        video = prepared.video
        self.folder.mkdir(parents=True, exist_ok=True)
        status = video.path.stat()
        frames = self.frame_file(video.video_id)
        self.record_file(video.video_id).unlink(missing_ok=True)
        if prepared.frames:
            rows = [_row(frame) for frame in prepared.frames]
            with whole_file(frames) as path:
                # One row in a group, because pairs are read frame by frame.
                write_rows(path, frame_schema(), rows, group=1)
        else:
            frames.unlink(missing_ok=True)
        record = VideoRecord(
            video_id=video.video_id,
            identity_id=video.identity_id,
            file=video.path.name,
            key=settings_key(video, settings),
            sha256=prepared.sha256,
            size=status.st_size,
            modified_ns=status.st_mtime_ns,
            frames=len(prepared.frames),
            failure=prepared.failure,
            estimator=prepared.estimator,
            parser=prepared.parser,
            rejections=prepared.rejections,
        )
        write_file(self.record_file(video.video_id), record.to_json())
        return record

    def columns(self, video_id: str, names: Sequence[str]) -> dict[str, np.ndarray | list[bytes]]:
        """Columns of a frame file (see `as_arrays`); raises ShardError where it is damaged."""
        return as_arrays(read_columns(self.frame_file(video_id), list(names), ADVICE))

    def open(self, video_id: str) -> Any:
        """The frame file, a row group for each frame; raises ShardError where it is damaged."""
        return open_file(self.frame_file(video_id), ADVICE)


def _row(frame: FrameRecord) -> dict[str, Any]:
    row = {name: getattr(frame, name) for name in frame.__dataclass_fields__}
    return {**row, "backdrop": backdrop(frame.background, frame.mask)}
