"""A video becomes records that agree with the library, and never an exception."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from face_videos import Shown, cut_short, write_face_video, write_scenery, write_sound
from magicface_training.videos import REASONS, PreparedVideo, Rejection, Video, VideoSettings
from magicface_training.videos.decode import open_video
from magicface_training.videos.prepare import (
    SampleClock,
    prepare_video,
    resolved,
    sampling_interval,
)
from PIL import Image

from magicface_core.errors import ModelError
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import prepare
from magicface_core.perception import Perception
from magicface_core.pictures.images import to_tensor, to_uint8

TwoScenes = tuple[Path, tuple[Shown, ...]]
UNLIKE = (40_005, 40_012)  # seeds of faces that the identity network tells apart


def video_of(path: Path) -> Video:
    return Video(path, path.stem, "somebody", path.stat().st_size if path.exists() else 0)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def reasons(prepared: PreparedVideo) -> set[str]:
    assert all(row.reason in REASONS for row in prepared.rejections)
    return {row.reason for row in prepared.rejections}


def test_every_half_second_of_each_scene_is_recorded(
    prepared: PreparedVideo, two_scenes: TwoScenes
) -> None:
    assert prepared.failure == ""
    assert prepared.rejections == ()
    assert [(f.scene, f.track, f.frame, f.time) for f in prepared.frames] == [
        (0, 0, 0, 0.0),
        (0, 0, 4, 0.5),
        (1, 1, 8, 1.0),
        (1, 1, 12, 1.5),
    ]
    assert prepared.sha256 == hashlib.sha256(two_scenes[0].read_bytes()).hexdigest()
    assert (prepared.width, prepared.height, prepared.rotation) == (192, 192, 0)
    assert (prepared.sampled, prepared.seconds) == (4, 1.875)
    assert (prepared.estimator, prepared.parser) == ("embedded", "embedded")


def test_records_hold_what_the_library_would_show_the_model(
    prepared: PreparedVideo, two_scenes: TwoScenes, perception: Perception
) -> None:
    record = prepared.frames[1]
    with open_video(two_scenes[0]) as video:
        frame = next(f.picture() for f in video.frames() if f.number == record.frame)
    expected = prepare(Image.fromarray(frame), perception, Framing(region="face"))
    assert np.array_equal(opened(record.picture), to_uint8(expected.crop512))
    assert np.array_equal(opened(record.background), to_uint8(expected.background.picture))
    mask = opened(record.mask)
    assert mask.mode == "1"
    assert record.mask[24] == 1  # bits of a pixel in the file's header
    assert np.array_equal(mask, expected.background.mask[0, 0].numpy() > 0.5)
    face = perception.faces(to_tensor(frame))[0]
    aus = perception.estimate_aus(face, to_tensor(frame))
    assert record.aus == tuple(aus.intensities.values)
    assert record.confidence == aus.confidence
    assert record.embedding == tuple(perception.embed(to_tensor(frame), face).tolist())
    assert record.face_width == face.width


def test_records_follow_the_pose(prepared: PreparedVideo, two_scenes: TwoScenes) -> None:
    for record in prepared.frames:
        truth = two_scenes[1][record.frame]
        assert np.abs(np.subtract(record.pose, truth.pose)).max() < 7
    yaws = [record.pose[0] for record in prepared.frames]
    assert np.ptp(yaws) > 5


def test_the_same_bytes_in_another_process_with_other_threads(
    prepared: PreparedVideo, two_scenes: TwoScenes, small: VideoSettings
) -> None:
    script = (
        "import hashlib, json, pathlib, sys, torch\n"
        "from magicface_training.videos import Video, VideoSettings\n"
        "from magicface_training.videos.prepare import load_perception, prepare_video\n"
        "torch.set_num_threads(2)\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "settings = VideoSettings.from_mapping(json.loads(sys.argv[2]))\n"
        "video = Video(path, path.stem, 'somebody', path.stat().st_size)\n"
        "found = prepare_video(video, settings, load_perception(settings, models=()))\n"
        "print(hashlib.sha256(repr(found).encode()).hexdigest())\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script, str(two_scenes[0]), small.to_json()],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "2"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert found.stdout.strip() == hashlib.sha256(repr(prepared).encode()).hexdigest()


def test_faces_are_searched_once_in_each_frame_looked_at(
    two_scenes: TwoScenes, small: VideoSettings, perception: Perception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    sizes = []
    faces = perception.faces
    monkeypatch.setattr(
        perception, "faces", lambda picture: [sizes.append(picture.shape), faces(picture)][1]
    )
    prepared = prepare_video(
        video_of(two_scenes[0]), replace(small, maximum_seconds=1.0), perception
    )
    assert sizes == [(1, 3, 192, 192)] * 3
    assert prepared.sampled == len(prepared.frames) == 3


def test_limits_spread_the_frames_over_the_video(
    two_scenes: TwoScenes, small: VideoSettings, perception: Perception
) -> None:
    few = replace(small, maximum_frames=2)
    found = prepare_video(video_of(two_scenes[0]), few, perception)
    assert [frame.time for frame in found.frames] == [0.0, 1.0]


def test_sampling_goes_by_time() -> None:
    clock = SampleClock(0.5)
    times = [0.0, 0.1, 0.49, 0.5, 0.51, 2.3, 2.4, 2.5, 2.99]
    assert [time for time in times if clock.due(time)] == [0.0, 0.5, 2.3, 2.5]
    settings = VideoSettings(frames_per_second=2, maximum_frames=100)
    assert sampling_interval(settings, 0) == sampling_interval(settings, 50) == 0.5
    assert sampling_interval(settings, 200) == 2.0
    assert sampling_interval(replace(settings, maximum_seconds=100), 200) == 1.0
    assert sampling_interval(replace(settings, maximum_frames=0), 9e9) == 0.5


def test_variable_rate_and_rotation(
    small: VideoSettings, perception: Perception, tmp_path: Path
) -> None:
    path = tmp_path / "phone.mov"
    shown = write_face_video(path, seconds=1.5, rotation=90, margin=16, variable_rate=True)
    found = prepare_video(video_of(path), small, perception)
    times = [frame.time for frame in shown]
    wanted = [min(t for t in times if t >= k / 2) for k in range(int(2 * times[-1]) + 1)]
    assert [frame.time for frame in found.frames] == pytest.approx(wanted, abs=2e-3)
    assert (found.rotation, found.width, found.height) == (90, 224, 192)
    assert all(abs(frame.pose[2]) < 10 for frame in found.frames)


def test_smaller_pictures_and_the_region_of_the_person(
    two_scenes: TwoScenes, small: VideoSettings, perception: Perception, prepared: PreparedVideo
) -> None:
    settings = replace(small, picture_size=128, region="person", maximum_frames=1)
    record = prepare_video(video_of(two_scenes[0]), settings, perception).frames[0]
    for data in (record.picture, record.background, record.mask):
        assert opened(data).size == (128, 128)
    whole = np.asarray(opened(prepared.frames[0].picture), float)
    averaged = whole.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(averaged - np.asarray(opened(record.picture))).max() <= 1
    face = np.asarray(opened(prepared.frames[0].mask)).mean()
    assert np.asarray(opened(record.mask)).mean() > 1.3 * face


def test_only_the_person_of_most_frames_is_kept(
    small: VideoSettings, perception: Perception, tmp_path: Path
) -> None:
    first, second = tmp_path / "one.mkv", tmp_path / "two.mkv"
    write_face_video(first, identity=UNLIKE, seconds=1.0)
    both = prepare_video(video_of(first), small, perception)
    assert {frame.track for frame in both.frames} == {0}
    assert len(both.frames) == 2
    assert [row.reason for row in both.rejections] == ["other person"] * 2
    write_face_video(second, identity=UNLIKE[0], seconds=1.0)
    alone = prepare_video(video_of(second), small, perception)
    assert reasons(alone) == set()


def test_unfit_frames_say_why(small: VideoSettings, perception: Perception, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"

    def rejected(settings: VideoSettings = small, **options: object) -> tuple[int, set[str]]:
        write_face_video(path, seconds=0.5, **options)  # type: ignore[arg-type]
        found = prepare_video(video_of(path), settings, perception)
        assert found.failure == ""
        return len(found.frames), reasons(found)

    assert rejected() == (1, set())
    assert rejected(replace(small, minimum_face=256)) == (0, {"face too small"})
    assert rejected(yaw=45.0, settings=replace(small, maximum_yaw=30)) == (0, {"turned away"})
    sharp = replace(small, minimum_sharpness=VideoSettings().minimum_sharpness)
    assert rejected(blur=1, settings=sharp) == (1, set())
    assert rejected(blur=3, settings=sharp) == (0, {"blurred"})
    assert rejected(cover=0.52) == (0, {"occluded"})
    write_scenery(path, seconds=0.5)
    scenery = prepare_video(video_of(path), small, perception)
    assert scenery.rejections == (Rejection("a", 0, 0, 0.0, "no face"),)
    assert (scenery.frames, scenery.failure, scenery.estimator) == ((), "", "")


def test_bad_files_come_back_with_a_failure(
    small: VideoSettings, perception: Perception, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"

    def failure() -> str:
        found = prepare_video(video_of(path), small, perception)
        assert found.frames == found.rejections == ()
        return found.failure

    assert failure().startswith("cannot be read (No such file")
    path.touch()
    assert failure() == "empty file (0 bytes)"
    path.write_bytes(os.urandom(5000))
    assert failure().startswith("not a video that can be read")
    write_sound(path)
    assert failure() == "no video stream"
    write_face_video(path, seconds=0.5)
    cut_short(path, 0.6)
    assert failure().startswith("not a video that can be read")


def test_a_video_cut_short_keeps_its_good_part(
    small: VideoSettings, perception: Perception, tmp_path: Path
) -> None:
    path = tmp_path / "a.mkv"
    write_face_video(path, seconds=4.0, poses_per_second=1.0)
    cut_short(path, 0.4)
    found = prepare_video(video_of(path), replace(small, frames_per_second=1), perception)
    assert 1 <= len(found.frames) < 4
    assert [row.reason for row in found.rejections] == ["damaged"]
    assert found.failure == ""


def test_a_failing_disk_is_the_callers_to_retry(
    two_scenes: TwoScenes, small: VideoSettings, perception: Perception,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def fail(self: Path, mode: str = "r") -> object:
        raise OSError(5, "Input/output error")

    video = video_of(two_scenes[0])
    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(OSError, match="Input/output error"):
        prepare_video(video, small, perception)


def test_automatic_backends_are_named(small: VideoSettings) -> None:
    settings = resolved(small, models=())
    assert (settings.au_backend, settings.parser) == ("embedded", "embedded")
    with pytest.raises(ModelError, match="bisenet"):
        resolved(replace(small, parser="bisenet"), models=())


def test_the_callers_threads_are_left_alone(
    two_scenes: TwoScenes, small: VideoSettings, perception: Perception
) -> None:
    before = torch.get_num_threads()
    prepare_video(video_of(two_scenes[0]), replace(small, maximum_frames=1), perception)
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()
