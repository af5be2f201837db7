"""Whatever form a video's colours, orientation and times take, its pictures come out right."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from magicface_training.videos import Video, VideoSettings, decode
from magicface_training.videos.decode import UnreadableVideoError, open_video
from magicface_training.videos.prepare import prepare_video
from PIL import Image

from magicface_core.perception import Perception

Change = Callable[[av.VideoFrame], av.VideoFrame]
CORNERS = ((200, 60, 40), (60, 180, 60), (50, 70, 190), (230, 210, 180))
SKIN = ((200, 150, 130), (120, 85, 70), (90, 60, 50), (230, 200, 180))
LOSSLESS = {
    "libx264": {"qp": "0", "preset": "ultrafast"},
    "libx265": {"preset": "ultrafast", "x265-params": "lossless=1:log-level=none"},
    "libvpx": {"crf": "4", "b": "2000000", "auto-alt-ref": "0"},
    "libvpx-vp9": {"lossless": "1"},
}


def corners(colours: Sequence[tuple[int, int, int]] = CORNERS) -> np.ndarray:
    """[64,96,3] uint8, each quarter of another colour."""
    return np.array(colours, np.uint8).reshape(2, 2, 3).repeat(32, 0).repeat(48, 1)


def rgb(picture: np.ndarray) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(picture, "rgb24")


def write(
    path: Path,
    frames: Sequence[av.VideoFrame],
    codec: str = "libx264",
    form: str = "yuv444p",
    matrix: Sequence[int] | None = None,
    cover: bytes = b"",
    **options: str,
) -> Path:
    """Eight frames a second; colours are told as the first frame tells them."""
    with av.open(str(path), "w", options=options) as container:
        if cover:
            container.add_attachment("cover.jpg", "image/jpeg", cover)
        stream = container.add_stream(codec, rate=8, options=LOSSLESS.get(codec, {}))
        context, first = stream.codec_context, frames[0]
        stream.width, stream.height, stream.pix_fmt = first.width, first.height, form
        context.thread_count = 1
        context.color_range, context.colorspace = first.color_range, first.colorspace
        context.color_trc, context.color_primaries = first.color_trc, first.color_primaries
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 8)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def pictures(path: Path) -> list[np.ndarray]:
    with open_video(path) as opened:
        return [frame.picture() for frame in opened.frames()]


def difference(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(int) - second).max())


# --- orientation ----------------------------------------------------------------------------------


def shown(picture: np.ndarray, a: int, b: int, c: int, d: int) -> np.ndarray:
    """Each pixel (x, y) put at (ax + cy, bx + dy), as ISO/IEC 14496-12 has it."""
    rows, columns = np.indices(picture.shape[:2])
    x, y = a * columns + c * rows, b * columns + d * rows
    x, y = x - x.min(), y - y.min()
    result = np.zeros((y.max() + 1, x.max() + 1, 3), np.uint8)
    result[y, x] = picture
    return result


@pytest.mark.parametrize("second", [1, -1])
@pytest.mark.parametrize("first", [1, -1])
@pytest.mark.parametrize("transposed", [False, True])
def test_all_eight_display_matrices(
    transposed: bool, first: int, second: int, tmp_path: Path
) -> None:
    a, b, c, d = (0, first, second, 0) if transposed else (first, 0, 0, second)
    unit, far = 1 << 16, 1 << 30
    matrix = [a * unit, b * unit, 0, c * unit, d * unit, 0, 0, 0, far]
    path = write(tmp_path / "a.mp4", [rgb(corners()).reformat(format="yuv444p")], matrix=matrix)
    plain = write(tmp_path / "b.mp4", [rgb(corners()).reformat(format="yuv444p")])
    expected = shown(pictures(plain)[0], a, b, c, d)
    assert np.array_equal(pictures(path)[0], expected)
    with open_video(path) as opened:
        thumbnail = next(opened.frames()).thumbnail()
    assert difference(thumbnail[2, 2], expected[2, 2]) < 4


# --- colours --------------------------------------------------------------------------------------


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("form", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv444p10le"])
def test_sampling_depth_and_range(form: str, full: bool, tmp_path: Path) -> None:
    frame = rgb(corners()).reformat(format=form, dst_color_range="JPEG" if full else "MPEG")
    frame.color_range = 2 if full else 1
    found = pictures(write(tmp_path / "a.mkv", [frame], form=form))[0]
    for row in (16, 48):
        for column in (24, 72):
            assert difference(found[row, column], corners()[row, column]) <= 3


@pytest.mark.parametrize(
    ("codec", "form"), [("libx264", "gray"), ("libx265", "gray"), ("ffv1", "gray16le")]
)
def test_grey_alone_of_either_range(codec: str, form: str, tmp_path: Path) -> None:
    levels = np.array([0, 64, 128, 255], np.uint8).repeat(16)[None].repeat(64, 0)
    for told, values in ((1, levels * (219 / 255) + 16), (2, levels)):
        exact = values.round().astype(np.uint8)
        if form == "gray16le":
            exact = exact.astype(np.uint16) * 257
        frame = av.VideoFrame.from_ndarray(exact, form)
        frame.color_range = told
        found = pictures(write(tmp_path / "a.mkv", [frame], codec, form))[0]
        assert found.shape == (64, 64, 3)
        assert difference(found, levels[..., None]) <= 1, told


TO_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])


SKIN_AND_CORNERS = np.concatenate([corners(SKIN), corners()])


def linear(picture: np.ndarray) -> np.ndarray:
    """sRGB 0..255 -> light 0..1."""
    value = picture / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def perceptual_quantizer(light: np.ndarray) -> np.ndarray:
    """cd/m² -> signal 0..1, SMPTE ST 2084."""
    power = (light / 10_000) ** (2610 / 16384)
    top = 3424 / 4096 + 2413 / 128 * power
    signal: np.ndarray = (top / (1 + 2392 / 128 * power)) ** (2523 / 32)
    return signal


def hybrid_log_gamma(light: np.ndarray) -> np.ndarray:
    """cd/m² on a screen of 1000 -> signal 0..1, ITU-R BT.2100."""
    luminance = (light @ [0.2627, 0.6780, 0.0593])[..., None] / 1000
    scene = light / 1000 * np.maximum(luminance, 1e-9) ** (-0.2 / 1.2)
    upper = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), upper)


def bright_frame(signal: np.ndarray, transfer: int) -> av.VideoFrame:
    exact = (signal.clip(0, 1) * 65535).round().astype(np.uint16)
    frame = av.VideoFrame.from_ndarray(exact, "rgb48le").reformat(
        format="yuv444p10le", dst_colorspace="BT2020", dst_color_range="MPEG"
    )
    frame.color_range, frame.colorspace, frame.color_primaries = 1, 9, 9
    frame.color_trc = transfer
    return frame


@pytest.mark.parametrize(
    ("curve", "transfer"), [(perceptual_quantizer, 16), (hybrid_log_gamma, 18)]
)
def test_high_dynamic_range_becomes_what_it_shows(
    curve: Callable[[np.ndarray], np.ndarray], transfer: int, tmp_path: Path
) -> None:
    """Reference white of 203 cd/m² (ITU-R BT.2408) becomes white, what is brighter stays white."""
    light = linear(SKIN_AND_CORNERS) @ TO_2020.T * 203
    light[:8, :8] = 900
    frames = [bright_frame(curve(light), transfer) for _ in range(2)]
    for found in pictures(write(tmp_path / "a.mkv", frames, "libx265", "yuv444p10le")):
        assert difference(found[8:64], SKIN_AND_CORNERS[8:64]) <= 5
        assert difference(found[64:], SKIN_AND_CORNERS[64:]) <= 16
        assert found[2, 2].min() > 245


def test_wide_gamut_keeps_its_colours(tmp_path: Path) -> None:
    frame = bright_frame(((SKIN_AND_CORNERS / 255) ** 2.4 @ TO_2020.T) ** (1 / 2.4), 1)
    found = pictures(write(tmp_path / "a.mkv", [frame], "libx265", "yuv444p10le"))[0]
    assert difference(found[:64], SKIN_AND_CORNERS[:64]) <= 5
    assert difference(found[64:], SKIN_AND_CORNERS[64:]) <= 16


def test_colours_that_ffmpeg_does_not_convert_are_a_reason(
    small: VideoSettings, perception: Perception, tmp_path: Path
) -> None:
    frame = rgb(corners()).reformat(format="yuv444p")
    frame.colorspace = 8  # YCgCo
    path = write(tmp_path / "a.mkv", [frame])
    with pytest.raises(UnreadableVideoError, match=r"colours .* \(matrix 8,"):
        pictures(path)
    found = prepare_video(Video(path, "a", "a", path.stat().st_size), small, perception)
    assert found.failure.startswith("colours that FFmpeg does not convert")


@pytest.mark.parametrize(
    ("name", "codec", "form"),
    [("a.mov", "qtrle", "argb"), ("a.mov", "png", "rgba"), ("a.mov", "prores_ks", "yuva444p10le"),
     ("a.webm", "libvpx", "yuva420p"), ("a.webm", "libvpx-vp9", "yuva420p")],
)  # fmt: skip
def test_white_shows_through_transparent_pixels(
    name: str, codec: str, form: str, tmp_path: Path
) -> None:
    alpha = np.zeros((64, 96, 1), np.uint8)
    alpha[:, 48:] = 255
    alpha[32:, 48:] = 128
    frames = [av.VideoFrame.from_ndarray(np.concatenate([corners(), alpha], 2), "rgba")
              .reformat(format=form) for _ in range(2)]  # fmt: skip
    found = pictures(write(tmp_path / name, frames, codec, form))
    assert len(found) == 2
    for picture in found:
        assert difference(picture[:, :40], np.array(255)) <= 2
        assert difference(picture[8, 80], corners()[8, 80]) <= 6
        half = (corners()[56, 80].astype(int) + 255) / 2
        assert difference(picture[56, 80], half) <= 6


# --- times and streams ----------------------------------------------------------------------------


def greys(*levels: int, size: tuple[int, int] = (64, 64)) -> list[av.VideoFrame]:
    return [rgb(np.full((*size, 3), level, np.uint8)).reformat(format="yuv420p")
            for level in levels]  # fmt: skip


def found_in(path: Path) -> list[tuple[float, int]]:
    """Time and level of each frame."""
    with open_video(path) as opened:
        found = [(round(f.time, 3), round(f.picture().mean())) for f in opened.frames()]
        assert opened.damage is None
    return found


def is_near(found: Sequence[tuple[float, int]], expected: Sequence[tuple[float, int]]) -> bool:
    return len(found) == len(expected) and bool(np.abs(np.subtract(found, expected)).max() <= 1)


def test_an_edit_list_says_what_is_shown(tmp_path: Path) -> None:
    """The list is changed to skip half a second, as cutting a clip on a phone does."""
    levels = [10 * number for number in range(16)]
    path = write(tmp_path / "a.mp4", greys(*levels), form="yuv420p")
    assert is_near(found_in(path), [(n / 8, level) for n, level in enumerate(levels)])
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12  # version, flags and the number of entries
    length = int.from_bytes(content[place : place + 4], "big")
    start = int.from_bytes(content[place + 4 : place + 8], "big")
    rate = int.from_bytes(content[(at := content.index(b"mdhd") + 16) : at + 4], "big")
    content[place : place + 4] = (length * 3 // 4).to_bytes(4, "big")
    content[place + 4 : place + 8] = (start + rate // 2).to_bytes(4, "big")
    path.write_bytes(bytes(content))
    assert is_near(found_in(path), [(n / 8, level) for n, level in enumerate(levels[4:])])


def test_cover_art_is_not_the_video(tmp_path: Path) -> None:
    cover = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(cover, "JPEG")
    path = write(tmp_path / "a.mkv", greys(50, 90), form="yuv420p", cover=cover.getvalue())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 2
    assert is_near(found_in(path), [(0.0, 50), (0.125, 90)])
    alone = tmp_path / "sound.mka"
    with av.open(str(alone), "w") as container:
        container.add_attachment("cover.jpg", "image/jpeg", cover.getvalue())
        sound = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        for packet in [*sound.encode(frame), *sound.encode(None)]:
            container.mux(packet)
    with pytest.raises(UnreadableVideoError, match="no video stream"), open_video(alone):
        pytest.fail("a cover was opened as a video")


def test_a_video_that_does_not_tell_how_long_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", greys(*range(20, 200, 10)), form="yuv420p", live="1")
    with open_video(path) as opened:
        assert opened.seconds == 0
    assert is_near(found_in(path), [(n / 8, 20 + 10 * n) for n in range(18)])


def test_sizes_and_times_that_begin_anew_within_a_stream(tmp_path: Path) -> None:
    """Two transport streams one behind the other, as cameras and recorders join them."""
    first = write(tmp_path / "a.ts", greys(*[60] * 8), form="yuv420p")
    second = write(tmp_path / "b.ts", greys(*[160] * 8, size=(128, 96)), form="yuv420p")
    joined = tmp_path / "joined.ts"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert [p.shape for p in pictures(joined)] == [(64, 64, 3)] * 8 + [(128, 96, 3)] * 8
    expected = [(n / 8, 60 if n < 8 else 160) for n in range(16)]
    found = found_in(joined)
    assert is_near(found, expected)
    assert [time for time, _ in found] == pytest.approx([time for time, _ in expected], abs=0.01)


def test_frames_that_grow_beyond_measure_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = write(tmp_path / "a.h264", greys(*[60] * 8), form="yuv420p")
    second = write(tmp_path / "b.h264", greys(*[160] * 8, size=(128, 96)), form="yuv420p")
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    monkeypatch.setattr(decode, "MOST_PIXELS", 96 * 96)
    with open_video(joined) as opened:
        shapes = {frame.picture().shape for frame in opened.frames()}
        assert opened.damage is not None
    assert shapes == {(64, 64, 3)}
