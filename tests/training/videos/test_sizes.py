"""Clips of the sizes that people have go through with the default limits."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from face_videos import rendered_face
from magicface_training.shards.engines.local import LocalEngine
from magicface_training.shards.prepare import PrepareSettings, prepare
from magicface_training.videos import VideoSettings
from magicface_training.videos.layouts import index_videos
from magicface_training.videos.prepare import load_perception, prepare_video

from magicface_core.perception import Perception

from .conftest import video_of

FACE_SHARE = 0.43  # of the rendered square's side
COMPRESSED = {"preset": "veryfast", "crf": "23", "threads": "1"}  # as clips from the net are
SIZES = [
    (256, 256, 100), (256, 256, 140),
    (360, 640, 100), (360, 640, 200),
    (512, 512, 100), (512, 512, 230), (512, 512, 270),
    (1080, 1920, 100), (1080, 1920, 250), (1080, 1920, 500),
]  # fmt: skip


@pytest.fixture(scope="module")
def at_default() -> Perception:
    return load_perception(VideoSettings(), models=())


def framed(square: np.ndarray, lines: int, columns: int) -> np.ndarray:
    """The middle of a picture at another size; what is missing repeats the edge."""
    for axis, length in ((0, lines), (1, columns)):
        places = np.arange(length) + (square.shape[axis] - length) // 2
        square = square.take(places.clip(0, square.shape[axis] - 1), axis)
    return square


def write_clip(path: Path, lines: int, columns: int, face: int, poses: range) -> None:
    """One frame a second."""
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=1, options=COMPRESSED)
        stream.width, stream.height, stream.pix_fmt = columns, lines, "yuv420p"
        for pose in poses:
            square = rendered_face(40_001, pose, round(face / FACE_SHARE))
            frame = av.VideoFrame.from_ndarray(framed(square, lines, columns), "rgb24")
            frame.pts, frame.time_base = pose, Fraction(1, 1)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)


@pytest.mark.parametrize(("lines", "columns", "face"), SIZES)
def test_faces_of_every_size_are_kept(
    lines: int, columns: int, face: int, at_default: Perception, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    write_clip(path, lines, columns, face, range(1, 2))
    found = prepare_video(video_of(path), VideoSettings(), at_default)
    assert found.rejections == ()
    (record,) = found.frames
    assert record.face_width == pytest.approx(face, rel=0.05)
    side = 1.025 * record.face_width / 0.4583
    inside = min(1, lines / side) * min(1, columns / side)
    assert record.outside == pytest.approx(1 - inside, abs=0.03)


def test_smaller_faces_and_cut_ones_are_not(at_default: Perception, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    for face, reason in ((80, "face too small"), (310, "cut off")):
        write_clip(path, 512, 512, face, range(1, 2))
        found = prepare_video(video_of(path), VideoSettings(), at_default)
        assert [row.reason for row in found.rejections] == [reason]


@pytest.mark.slow
@pytest.mark.parametrize(("lines", "columns", "face"), [(256, 256, 100), (512, 512, 230)])
def test_clips_become_pairs_by_default(lines: int, columns: int, face: int, tmp_path: Path) -> None:
    write_clip(tmp_path / "videos" / "a.mp4", lines, columns, face, range(8))
    manifest = prepare(
        index_videos(tmp_path / "videos"), tmp_path / "out", PrepareSettings("made up"),
        LocalEngine(1),
    )  # fmt: skip
    assert sum(manifest.counts["pairs"].values()) >= 2
    enlarged = manifest.counts["enlarged"]
    assert enlarged["up to 1" if face > 228 else "more"] == sum(enlarged.values()) > 0
