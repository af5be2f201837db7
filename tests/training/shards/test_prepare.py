"""From made-up videos to a folder of shards, again and again."""

from __future__ import annotations

import errno
import hashlib
import io
import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest
from made_up_frames import FRAMES, made_up_frame, made_up_video, png, write_video, write_videos
from magicface_training.claim import FolderInUseError, claim_folder
from magicface_training.folders import STAGING, staging_folder
from magicface_training.shards.errors import ShardError
from magicface_training.shards.frames_store import FrameStore
from magicface_training.shards.manifest import read_manifest
from magicface_training.shards.pair_settings import PairSettings
from magicface_training.shards.prepare import PrepareSettings, prepare
from magicface_training.shards.tasks import TaskOutcome, VideoTask
from magicface_training.shards.verification import verify
from magicface_training.videos.records import PreparedVideo, Rejection, Video
from PIL import Image

from magicface_core.errors import OutputError

from .conftest import SETTINGS, Inline, prepare_inline


def contents(folder: Path) -> dict[str, str]:
    """Checksums of all files but the frames'."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "frames" not in path.relative_to(folder).parts
    }


def rows_of(folder: Path, split: str) -> list[dict[str, Any]]:
    paths = sorted((folder / split).glob("*.parquet"))
    return [row for path in paths for row in parquet.read_table(path).to_pylist()]


def test_rows_are_made_of_their_frames(prepared: Path, videos: list[Video]) -> None:
    rows = rows_of(prepared, "train")
    video_of = {video.video_id: video for video in videos}
    for row in rows[:10]:
        source = made_up_video(video_of[row["video_source"]]).frames[int(row["time_source"])]
        target = made_up_video(video_of[row["video_id"]]).frames[int(row["time_target"])]
        assert row["identity_id"] == source.identity_id == target.identity_id
        assert row["source"] == source.picture
        pictures = (target.picture, target.background, target.mask)
        assert (row["target"], row["background"], row["mask"]) == pictures
        assert row["aus_source"] == pytest.approx(source.aus)
        assert row["aus_target"] == pytest.approx(target.aus)
        assert row["pose_target"] == pytest.approx(target.pose, rel=1e-6)
        distance = np.linalg.norm(np.subtract(source.embedding, target.embedding))
        assert row["identity_distance"] == pytest.approx(distance, abs=1e-3)
        assert row["quality"] == pytest.approx(0.8)
        assert (row["split"], row["licence"]) == ("train", "made up")
        assert row["estimator"] == "made up"
        assert row["sha256"] == hashlib.sha256(source.picture + b"".join(pictures)).hexdigest()
    assert Image.open(io.BytesIO(rows[0]["mask"])).mode == "1"


def test_manifest_counts_what_is_there(prepared: Path) -> None:
    manifest = verify(prepared, deep=True)
    for split in ("train", "validation", "test"):
        rows = rows_of(prepared, split)
        assert manifest.counts["pairs"][split] == len(rows) > 0
        assert manifest.counts["identities"][split] == len({row["identity_id"] for row in rows})
    assert manifest.counts["videos"] == 12
    assert manifest.counts["frames"] == 12 * FRAMES
    assert manifest.counts["rejected"] == {"blurred": 12}
    used = {(row["video_id"], row["time_target"]) for split in manifest.splits
            for row in rows_of(prepared, split)}  # fmt: skip
    assert manifest.counts["enlarged"] == {
        "up to 1": len(used), "up to 1.5": 0, "up to 2": 0, "more": 0,
    }  # fmt: skip
    assert manifest.licences == ("made up",)
    assert manifest.consent == "nobody is shown"
    assert {"magicface", "pyarrow", "torch", "estimator"} <= set(manifest.versions)
    assert manifest.settings["video"]["picture_size"] == manifest.picture_size == 64


def test_rejected_frames_have_a_row_each(prepared: Path) -> None:
    rows = parquet.read_table(prepared / "rejected.parquet").to_pylist()
    assert len(rows) == 12
    first = {"video_id": "person0_0", "identity_id": "person0", "file": "person0_0.mp4"}
    assert rows[0] == {
        **first, "scene": 1, "frame": 8, "time": 8.0, "reason": "blurred", "detail": ""
    }  # fmt: skip


def test_rows_of_a_shard_are_mixed(prepared: Path) -> None:
    names = [row["identity_id"] for row in rows_of(prepared, "train")]
    changes = sum(a != b for a, b in itertools.pairwise(names))
    assert changes > len(names) / 3


def test_same_videos_make_the_same_bytes(
    prepared: Path, videos: list[Video], tmp_path: Path
) -> None:
    prepare_inline(videos[::-1], tmp_path / "again")
    assert contents(tmp_path / "again") == contents(prepared)


def test_shards_are_closed_at_their_size(videos: list[Video], tmp_path: Path) -> None:
    pairs = PairSettings(per_identity=50, per_picture=50)
    settings = replace(SETTINGS, pairs=pairs, shard_megabytes=1)
    manifest = prepare(videos, tmp_path / "out", settings, Inline(), function=_heavy)
    shards = manifest.splits["train"]
    assert len(shards) > 1
    assert [shard.rows for shard in shards[:-1]] == [64] * (len(shards) - 1)
    assert [shard.file for shard in shards[:2]] == [
        "train/shard-00000.parquet",
        "train/shard-00001.parquet",
    ]
    verify(tmp_path / "out", deep=True)


def _heavy(task: VideoTask) -> TaskOutcome:
    """Pictures with 20 kB of nothing behind their end: a shard of 1 MB is full after 64 rows."""
    video, store = task.video, FrameStore(task.folder)
    frames = tuple(
        replace(frame, picture=frame.picture + bytes(20_000))
        for frame in made_up_video(video).frames
    )
    store.write(PreparedVideo(video, video.video_id, frames), task.settings)
    return TaskOutcome(video.video_id)


# --- again ----------------------------------------------------------------------------------------


def test_rerun_prepares_only_what_is_new(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", identities=3, videos=2)
    out = tmp_path / "out"
    done: list[str] = []

    def counted(task: VideoTask) -> TaskOutcome:
        done.append(task.video.video_id)
        FrameStore(task.folder).write(made_up_video(task.video), task.settings)
        return TaskOutcome(task.video.video_id)

    def resumable(task: VideoTask) -> TaskOutcome:
        if FrameStore(task.folder).up_to_date(task.video, task.settings):
            return TaskOutcome(task.video.video_id, skipped=True)
        return counted(task)

    prepare(videos[:4], out, SETTINGS, Inline(), function=resumable)
    prepare(videos, out, SETTINGS, Inline(), function=resumable)
    assert done == [video.video_id for video in videos]
    other = replace(SETTINGS, video=replace(SETTINGS.video, maximum_yaw=30.0))
    prepare(videos, out, other, Inline(), function=resumable)
    assert len(done) == 12
    verify(out)


def test_two_copies_of_a_video_count_once(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", identities=3)
    copy = replace(write_video(tmp_path / "videos", "copy", "somebody else"), video_id="z_copy")
    copy.path.write_bytes(videos[0].path.read_bytes())
    manifest = prepare_inline([*videos, copy], tmp_path / "out")
    assert sum(manifest.counts["identities"].values()) == 3
    rows = parquet.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert rows[-1]["detail"] == "the same file as person0_0"


def test_fewer_videos_leave_no_old_shards(videos: list[Video], tmp_path: Path) -> None:
    prepare_inline(videos, tmp_path / "out")
    prepare_inline(videos[:4], tmp_path / "out")
    prepare_inline(videos[:4], tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


# --- faults ---------------------------------------------------------------------------------------


def full_after(count: int) -> Callable[..., None]:
    """`os.replace` for a disk that is full after so many files."""
    left = [count]

    def replaced(source: Any, target: Any, *, really: Callable[..., None] = os.replace) -> None:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        left[0] -= 1
        really(source, target)

    return replaced


@pytest.mark.parametrize("count", [0, 3, 5, 8])
def test_full_disk_leaves_older_shards_whole(
    videos: list[Video], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    out = tmp_path / "out"
    prepare_inline(videos[:6], out)
    before = contents(out)
    with monkeypatch.context() as patch:
        patch.setattr("magicface_core.files.os.replace", full_after(count))
        with pytest.raises((OutputError, ShardError), match="No space left"):
            prepare_inline(videos, out, replace(SETTINGS, seed=1))
    assert contents(out) == before
    assert not list(out.glob(f"{STAGING}*"))
    assert not list(out.rglob("*.part"))
    verify(out)
    prepare_inline(videos, out)
    assert len(list((out / "frames").glob("*.json"))) == 12


def test_what_a_killed_run_left_is_cleared(videos: list[Video], tmp_path: Path) -> None:
    left = [tmp_path / "frames" / ".0123.part", tmp_path / f"{STAGING}0123" / "train" / "a.parquet"]
    for path in left:
        path.parent.mkdir(parents=True)
        path.write_bytes(b"half")
    prepare_inline(videos[:4], tmp_path)
    assert not any(path.exists() for path in left)
    assert not list(tmp_path.glob(".*"))


def test_folder_of_another_run_is_refused(videos: list[Video], tmp_path: Path) -> None:
    with claim_folder(tmp_path), staging_folder(tmp_path) as staging:
        with pytest.raises(FolderInUseError, match=f'uses "{tmp_path}"'):
            prepare_inline(videos, tmp_path)
        assert staging.is_dir()
    prepare_inline(videos[:4], tmp_path)


def test_folder_that_cannot_be_made_is_told_at_once(videos: list[Video], tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_inline(videos, tmp_path / "out")


def failing(frames: int, *rejected: str, **values: Any) -> Callable[[VideoTask], TaskOutcome]:
    """A task that gives so many equal frames, and rejections for the reasons."""

    def task_function(task: VideoTask) -> TaskOutcome:
        video = task.video
        black = png(np.zeros((16, 16, 3), np.uint8))
        same = {"aus": (0.0,) * 12, "pose": (0.0,) * 3, "background": black, **values}
        made = tuple(
            made_up_frame(video.video_id, video.identity_id, n, **same) for n in range(frames)
        )
        rows = tuple(
            Rejection(video.video_id, 0, 50 + n, 50.0 + n, reason)
            for n, reason in enumerate(rejected)
        )
        FrameStore(task.folder).write(
            PreparedVideo(video, video.video_id, made, rows), task.settings
        )
        return TaskOutcome(video.video_id)

    return task_function


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (failing(0, "face too small", "cut off", "cut off", "no face"),
         "raise --maximum-outside (now 0.4, cost 2 frames); "
         "lower --minimum-face (now 96, cost 1 frames)."),
        (failing(4, "blurred"),
         "lower --minimum-sharpness (now 12, cost 1 frames); "
         "lower --pose-apart (now 5, cost 6 pairs of frames); "
         "lower --seconds-apart (now 2, cost 3 pairs of frames)."),
        (failing(3, pose=(0.0,) * 3, scene=0, time=0.0), "lower --seconds-apart (now 2, cost 3"),
    ],
)  # fmt: skip
def test_without_a_pair_the_costliest_limits_are_named(
    function: Callable[[VideoTask], TaskOutcome], advice: str, tmp_path: Path
) -> None:
    videos = write_videos(tmp_path / "videos", identities=1)
    with pytest.raises(ShardError, match="No pair") as caught:
        prepare(videos, tmp_path / "out", SETTINGS, Inline(), function=function)
    assert f"What cost most: {advice}" in str(caught.value)


def test_pairs_without_a_change_name_the_change(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", identities=1, videos=2)

    def task_function(task: VideoTask) -> TaskOutcome:
        turned = float(task.video.video_id[-1]) * 20
        return failing(1, pose=(turned, 0.0, 0.0))(task)

    with pytest.raises(ShardError, match=r"lower --large-change \(now 1, cost 1 pairs of frames\)"):
        prepare(videos, tmp_path / "out", SETTINGS, Inline(), function=task_function)


def test_videos_without_a_pair_say_why(tmp_path: Path) -> None:
    videos = write_videos(tmp_path / "videos", identities=2)

    def nothing(task: VideoTask) -> TaskOutcome:
        prepared = PreparedVideo(task.video, task.video.video_id, failure="not a video")
        FrameStore(task.folder).write(prepared, task.settings)
        return TaskOutcome(task.video.video_id)

    with pytest.raises(ShardError, match=r"No pair.*rejected: 2 x failed video"):
        prepare(videos, tmp_path / "out", SETTINGS, Inline(), function=nothing)
    rows = parquet.read_table(tmp_path / "out" / "rejected.parquet").to_pylist()
    assert [row["detail"] for row in rows] == ["not a video"] * 2
    with pytest.raises(ShardError, match="did not end"):
        read_manifest(tmp_path / "out")


def test_no_videos_and_equal_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="no videos"):
        prepare_inline([], tmp_path / "out")
    video = write_video(tmp_path, "a", "a")
    with pytest.raises(ShardError, match="Several videos are called a;"):
        prepare_inline([video, video], tmp_path / "out")


@pytest.mark.parametrize("values", [{"licence": " "}, {"shard_megabytes": 0}, {"seed": -1}])
def test_impossible_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ShardError, match=next(iter(values))):
        PrepareSettings(**{"licence": "made up", **values})
