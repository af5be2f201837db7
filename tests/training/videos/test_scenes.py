"""Cuts are found where they are, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from face_videos import Shown, write_face_video
from magicface_training.videos import VideoSettings
from magicface_training.videos.decode import open_video
from magicface_training.videos.scenes import SceneCuts, colour_histogram, histogram_distance


def scenes_of(path: Path) -> list[int]:
    cuts = SceneCuts(VideoSettings().scene_change)
    with open_video(path) as opened:
        return [cuts.see(frame.thumbnail()) for frame in opened.frames()]


def test_cuts_of_a_video_are_found(two_scenes: tuple[Path, tuple[Shown, ...]]) -> None:
    path, shown = two_scenes
    assert scenes_of(path) == [frame.scene for frame in shown]


def test_a_moving_face_is_no_cut(tmp_path: Path) -> None:
    write_face_video(tmp_path / "a.mp4", seconds=4)
    assert set(scenes_of(tmp_path / "a.mp4")) == {0}


def test_distance_is_the_share_of_pixels_that_change() -> None:
    picture = np.zeros((10, 10, 3), np.uint8)
    changed = picture.copy()
    changed[:3] = 255
    first, second = colour_histogram(picture), colour_histogram(changed)
    assert first.sum() == pytest.approx(3)
    assert histogram_distance(first, first) == 0
    assert histogram_distance(first, second) == pytest.approx(0.3)
