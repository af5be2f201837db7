"""Frame files: kept, found again, and made anew exactly when something has changed."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_frames import FRAMES, made_up_video, write_video
from magicface_training.shards.errors import ShardError
from magicface_training.shards.frames_store import FrameStore
from magicface_training.videos.records import PreparedVideo, Video, VideoSettings

SETTINGS = VideoSettings()


@pytest.fixture
def video(tmp_path: Path) -> Video:
    return write_video(tmp_path, "person0_0", "person0")


@pytest.fixture
def store(tmp_path: Path, video: Video) -> FrameStore:
    """With that video in it."""
    store = FrameStore(tmp_path / "frames")
    store.folder.mkdir()
    store.write(made_up_video(video), SETTINGS)
    return store


def test_what_is_written_is_read(store: FrameStore, video: Video) -> None:
    prepared = made_up_video(video)
    record = store.read(video.video_id)
    assert record is not None
    assert record.frames == FRAMES
    assert record.rejections == prepared.rejections
    assert record.estimator == "made up"
    columns = store.columns(video.video_id, ["picture", "aus", "pose", "time"])
    for number, frame in enumerate(prepared.frames):
        assert columns["picture"][number] == frame.picture
        assert columns["aus"][number] == pytest.approx(frame.aus)
        assert columns["pose"][number] == pytest.approx(frame.pose, rel=1e-6)
        assert columns["time"][number] == frame.time
    with store.open(video.video_id) as file:
        assert file.num_row_groups == FRAMES
        assert file.read_row_group(3).to_pylist()[0]["mask"] == prepared.frames[3].mask


def test_equal_frames_make_equal_files(store: FrameStore, video: Video) -> None:
    before = store.frame_file(video.video_id).read_bytes()
    store.write(made_up_video(video), SETTINGS)
    assert store.frame_file(video.video_id).read_bytes() == before


def test_unchanged_video_is_not_prepared_again(store: FrameStore, video: Video) -> None:
    assert store.up_to_date(video, SETTINGS) is not None


def test_copied_video_is_known_by_its_bytes(store: FrameStore, video: Video) -> None:
    os.utime(video.path, ns=(1, 1))
    assert store.up_to_date(video, SETTINGS) is not None
    record = store.read(video.video_id)
    assert record is not None
    assert record.modified_ns == 1  # the next run need not read the bytes


@pytest.mark.parametrize("content", ["person0_1", "longer than it was"])
def test_changed_video_is_prepared_again(store: FrameStore, video: Video, content: str) -> None:
    video.path.write_text(content, encoding="utf-8")
    os.utime(video.path, ns=(1, 1))
    assert store.up_to_date(video, SETTINGS) is None


def test_changed_settings_or_identity_are_prepared_again(store: FrameStore, video: Video) -> None:
    assert store.up_to_date(video, replace(SETTINGS, maximum_yaw=30.0)) is None
    assert store.up_to_date(replace(video, identity_id="somebody else"), SETTINGS) is None


def test_removed_frames_are_prepared_again(store: FrameStore, video: Video) -> None:
    store.frame_file(video.video_id).unlink()
    assert store.up_to_date(video, SETTINGS) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": "other", "version": 1}'])
def test_damaged_record_is_prepared_again(store: FrameStore, video: Video, text: str) -> None:
    store.record_file(video.video_id).write_text(text, encoding="utf-8")
    assert store.up_to_date(video, SETTINGS) is None


def test_video_that_gave_nothing_is_done_too(store: FrameStore, video: Video) -> None:
    store.write(PreparedVideo(video, "0" * 64, failure="not a video"), SETTINGS)
    record = store.up_to_date(video, SETTINGS)
    assert record is not None
    assert record.failure == "not a video"
    assert not store.frame_file(video.video_id).exists()  # nor the frames of an earlier run


def test_damaged_frame_file_says_what_to_do(store: FrameStore, video: Video) -> None:
    path = store.frame_file(video.video_id)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ShardError, match=r"person0_0.parquet.*delete it and run"):
        store.columns(video.video_id, ["aus"])
