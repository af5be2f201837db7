"""Small real videos of synthetic faces, and what their preparation gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from face_videos import Shown, write_face_video
from magicface_training.videos import PreparedVideo, Video, VideoSettings
from magicface_training.videos.prepare import load_perception, prepare_video

from magicface_core.perception import Perception


def video_of(path: Path, identity: str = "somebody") -> Video:
    return Video(path, path.stem, identity, path.stat().st_size if path.exists() else 0)


@pytest.fixture(scope="session")
def small() -> VideoSettings:
    """Limits for faces of about 90 pixels."""
    return VideoSettings(minimum_face=48, minimum_sharpness=4.0)


@pytest.fixture(scope="session")
def perception(small: VideoSettings) -> Perception:
    return load_perception(small, models=())


@pytest.fixture(scope="session")
def two_scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Shown, ...]]:
    """Two seconds of one face, cut in the middle."""
    path = tmp_path_factory.mktemp("videos") / "two scenes.mp4"
    return path, write_face_video(path, scenes=2)


@pytest.fixture(scope="session")
def prepared(
    two_scenes: tuple[Path, tuple[Shown, ...]], small: VideoSettings, perception: Perception
) -> PreparedVideo:
    return prepare_video(video_of(two_scenes[0]), small, perception)
