"""Made-up videos prepared once, and one Ray cluster for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from made_up_frames import prepare_made_up, write_videos
from magicface_training.shards.manifest import Manifest
from magicface_training.shards.pair_settings import PairSettings
from magicface_training.shards.prepare import PrepareSettings, prepare
from magicface_training.shards.tasks import (
    Attempts,
    TaskFunction,
    TaskOutcome,
    VideoTask,
    attempted,
)
from magicface_training.videos.records import Video, VideoSettings

SUPPORT = Path(__file__).parents[2] / "support"
SETTINGS = PrepareSettings(
    licence="made up",
    consent="nobody is shown",
    video=VideoSettings(picture_size=64, au_backend="embedded", parser="embedded"),
    pairs=PairSettings(per_identity=12),
)


class Inline:
    """An engine in the test's own process."""

    def run(self, function: TaskFunction, tasks: Sequence[VideoTask]) -> Iterator[TaskOutcome]:
        """One after the other."""
        return (attempted(function, task, Attempts(wait=0)) for task in tasks)


def prepare_inline(
    videos: Sequence[Video], out: Path, settings: PrepareSettings = SETTINGS
) -> Manifest:
    """Shards of made-up videos."""
    return prepare(videos, out, settings, Inline(), function=prepare_made_up)


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Video]:
    """Two videos of each of six people."""
    return write_videos(tmp_path_factory.mktemp("videos"), identities=6, videos=2)


@pytest.fixture(scope="session")
def prepared(videos: list[Video], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their shards. Tests that change them take a copy."""
    out = tmp_path_factory.mktemp("prepared") / "shards"
    prepare_inline(videos, out)
    return out


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """The engine's own cluster of two CPUs, which its runs then find."""
    from magicface_training.shards.engines.ray import RayEngine

    with pytest.MonkeyPatch.context() as patch:
        # Ray's workers look for modules where the environment says, not where pytest does.
        paths = [str(SUPPORT), *filter(None, [os.environ.get("PYTHONPATH")])]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        with RayEngine(workers=2).cluster():
            yield
