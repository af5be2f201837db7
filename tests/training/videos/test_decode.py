"""Frames come upright and with their times, whatever the file."""

from __future__ import annotations

import io
import tracemalloc
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from face_videos import cut_short, write_face_video, write_scenery, write_sound
from magicface_training.videos import decode
from magicface_training.videos.decode import UnreadableVideoError, open_video
from PIL import Image


def pictures(path: Path) -> list[np.ndarray]:
    with open_video(path) as opened:
        return [frame.picture() for frame in opened.frames()]


def test_times_are_those_of_the_file(tmp_path: Path) -> None:
    for variable in (False, True):
        shown = write_face_video(tmp_path / "a.mp4", seconds=1, variable_rate=variable)
        with open_video(tmp_path / "a.mp4") as opened:
            found = [(frame.number, frame.time) for frame in opened.frames()]
            assert opened.damage is None
        assert [number for number, _ in found] == list(range(len(shown)))
        assert [time for _, time in found] == pytest.approx([s.time for s in shown], abs=2e-3)
    assert len({round(b.time - a.time, 3) for a, b in pairwise(shown)}) > 1


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_videos_come_upright(rotation: int, tmp_path: Path) -> None:
    write_face_video(tmp_path / "plain.mp4", seconds=0.25, margin=20)
    write_face_video(tmp_path / "turned.mp4", seconds=0.25, margin=20, rotation=rotation)
    for plain, turned in zip(
        pictures(tmp_path / "plain.mp4"), pictures(tmp_path / "turned.mp4"), strict=True
    ):
        assert plain.shape == turned.shape == (192, 232, 3)
        assert np.abs(plain.astype(int) - turned).mean() < 2


def test_pixels_that_are_not_square_become_so(tmp_path: Path) -> None:
    for ratio, shape in ((Fraction(3, 2), (64, 96, 3)), (Fraction(1, 2), (128, 64, 3))):
        write_face_video(tmp_path / "a.mp4", seconds=0.125, size=64, pixel_ratio=ratio)
        assert pictures(tmp_path / "a.mp4")[0].shape == shape


@pytest.mark.parametrize(
    ("rows", "told", "used"),
    [(720, None, "ITU709"), (480, None, "ITU601"), (480, "ITU709", "ITU709")],
)
def test_colours_come_back(rows: int, told: str | None, used: str, tmp_path: Path) -> None:
    path, colour = tmp_path / "a.mp4", (200, 60, 40)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, rows, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((rows, 64, 3), colour, np.uint8), "rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=used)
        frame.colorspace = 1 if told else 2
        stream.codec_context.colorspace = frame.colorspace
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    assert np.abs(pictures(path)[0].mean((0, 1)) - colour).max() < 3


def test_very_large_frames_are_reduced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_face_video(tmp_path / "a.mp4", seconds=0.125, size=96, margin=48)
    monkeypatch.setattr(decode, "LARGEST_SIDE", 64)
    assert pictures(tmp_path / "a.mp4")[0].shape == (32, 64, 3)


@pytest.mark.parametrize("ending", ["mkv", "webm"])
def test_a_video_cut_short_gives_what_is_there_and_says_so(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    codec = "libvpx-vp9" if ending == "webm" else "libx264"
    write_face_video(path, seconds=4, size=64, codec=codec)
    cut_short(path, 0.6)
    with open_video(path) as opened:
        found = list(opened.frames())
        assert 4 < len(found) < 32
        assert opened.damage is not None
        frame, time = opened.damage
        assert 4 < frame < 32
        assert 0 < time < 4


def test_damaged_frames_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    write_face_video(path, seconds=4, size=64, poses_per_second=8)
    content = bytearray(path.read_bytes())
    for place in np.random.default_rng(0).integers(len(content) // 3, len(content), 40):
        content[place] ^= 0x5A
    path.write_bytes(bytes(content))
    with open_video(path) as opened:
        found = list(opened.frames())
        assert 0 < len(found) < 32
        assert opened.damage is not None


def test_files_that_are_no_videos_say_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_scenery(tmp_path / "real.mp4", seconds=0.25)
    picture = io.BytesIO()
    Image.new("RGB", (32, 32)).save(picture, "PNG")
    contents = {
        "text": b"no video\n" * 500,
        "picture": picture.getvalue(),
        "play list": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nreal.mp4\n#EXT-X-ENDLIST\n",
        "concatenation": b"ffconcat version 1.0\nfile real.mp4\n",
        "header only": (tmp_path / "real.mp4").read_bytes()[:200],
    }
    for kind, content in contents.items():
        path.write_bytes(content)
        with pytest.raises(UnreadableVideoError, match="not a video"), open_video(path):
            pytest.fail(f"a {kind} was opened")
    write_sound(path)
    with pytest.raises(UnreadableVideoError, match="no video stream"), open_video(path):
        pytest.fail("sound was opened as a video")


class BrokenDisk(io.BufferedReader):
    """Fails after the first kilobytes."""

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 2000:
            raise OSError(5, "Input/output error")
        return super().read(min(size or 0, 1000))


def test_a_failing_disk_is_not_taken_for_a_bad_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mkv"
    write_face_video(path, seconds=1)
    monkeypatch.setattr(Path, "open", lambda self, mode: BrokenDisk(io.FileIO(self)))
    with pytest.raises(OSError, match="Input/output error") as caught, open_video(path) as opened:
        list(opened.frames())
    assert type(caught.value) is OSError


def test_frames_are_not_collected(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_scenery(path, seconds=8)
    tracemalloc.start()
    try:
        with open_video(path) as opened:
            sizes = [frame.picture().nbytes for frame in opened.frames()]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sizes) == 64
    assert peak < sum(sizes) / 4
