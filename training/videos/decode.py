"""Frames of a video file: upright, with their times, one at a time.

PyAV (FFmpeg in its wheel) decodes; it is imported when a video is opened. Only containers of the
list below are opened: FFmpeg would also read text files, pictures and play lists as videos, and
play lists may name other files and addresses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from magicface_core.errors import MagicFaceError

from .records import VideoError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.codeccontext import VideoCodecContext
    from av.video.reformatter import VideoReformatter
    from av.video.stream import VideoStream

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc"
)
THUMBNAIL = (64, 36)  # width and height in pixels
LARGEST_SIDE = 4096  # of a decoded picture; larger frames are reduced while they are converted
MOST_PIXELS = 1 << 28  # of a frame; more is taken for a damaged header
MOST_DAMAGED = 100  # packets in a row that cannot be decoded, after which a video is given up
MISSING_SECONDS = 1.0  # less than promised by at least this much is called damage
RESTART_SECONDS = 0.25  # by which time stamps jump back where they begin anew
HIGH_DEFINITION = 720  # rows from which players then take BT.709, below it BT.601
# Numbers of FFmpeg (ITU-T H.273) for what a file tells of its colours.
UNTOLD = 2
BT709, SRGB, PQ, HLG = 1, 13, 16, 18
WIDE_PRIMARIES = (9, 11, 12)  # BT.2020 and the two kinds of P3
LIMITED = 1  # range: black is 16 and white 235 of 255
# FFmpeg's own decoders leave out the transparency of these; those of libvpx do not.
SEE_THROUGH = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
INSTALL = 'pip install "comfyui-magicface[data]"'


class UnreadableVideoError(VideoError):
    """A file of which no frame can be had."""


@dataclass(frozen=True)
class DecodedFrame:
    """One frame, valid until the next one is asked for.

    number  in the video, from 0
    time    seconds from the first frame
    """

    number: int
    time: float
    _frame: av.VideoFrame
    _pixel_ratio: float
    _reformatter: VideoReformatter

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places, before the turns of `turned`."""
        return float(np.linalg.det(self._directions())) < 0

    @property
    def turned(self) -> int:
        """Quarter turns counter-clockwise that make the frame upright, 0..3."""
        (xx, xy), (yx, yy) = self._directions() * ((-1 if self.mirrored else 1,), (1,))
        return round(-math.atan2(xy - yx, xx + yy) / (math.pi / 2)) % 4

    def picture(self) -> np.ndarray:
        """[H,W,3] uint8 RGB, upright, square pixels, at most LARGEST_SIDE on a side.

        Wide gamuts and high dynamic range are mapped to sRGB, reference white to white, and white
        shows through transparent pixels. Raises UnreadableVideoError for colours in a form that
        FFmpeg does not convert.
        """
        width = self._frame.width * max(1.0, self._pixel_ratio)
        height = self._frame.height / min(1.0, self._pixel_ratio)
        reduction = min(1.0, LARGEST_SIDE / max(width, height))
        size = round(width * reduction), round(height * reduction)
        reformat = partial(self._reformatter.reformat, self._frame, **self._mapping())
        return self._converted(*size, "AREA", reformat)

    def thumbnail(self) -> np.ndarray:
        """[36,64,3] uint8 RGB (sides exchanged for turned frames), shape and gamut not kept."""
        return self._converted(*THUMBNAIL, "FAST_BILINEAR", self._frame.reformat)

    def _converted(
        self, width: int, height: int, interpolation: str, reformat: Callable[..., av.VideoFrame]
    ) -> np.ndarray:
        frame = self._frame
        if (width, height) == (frame.width, frame.height):
            interpolation = "BICUBIC"
        try:
            converted = reformat(
                width=max(1, width),
                height=max(1, height),
                format="rgba" if self._transparent() else "rgb24",
                interpolation=interpolation,
                src_colorspace=self._assumed_colorspace(),
            )
        except _av().error.FFmpegError as error:
            raise UnreadableVideoError(
                f"colours that FFmpeg does not convert (matrix {frame.colorspace}, "
                f"transfer {frame.color_trc} of ITU-T H.273)"
            ) from error
        picture = self._stretched(_on_white(converted.to_ndarray()))
        picture = picture[:, ::-1] if self.mirrored else picture
        return np.ascontiguousarray(np.rot90(picture, self.turned))

    def _directions(self) -> np.ndarray:
        """[2,2]: where the frame's x and y axis point to on the screen (x, y from the top left)."""
        matrix = self._frame.side_data.get("DISPLAYMATRIX")
        if matrix is None:
            return np.eye(2)
        return np.frombuffer(matrix, np.int32).reshape(3, 3)[:2, :2] / 65536

    def _transparent(self) -> bool:
        form = self._frame.format
        return form.has_palette or any(component.is_alpha for component in form.components)

    def _assumed_colorspace(self) -> str | None:
        """What players take where the file does not tell; None where it does."""
        if self._frame.colorspace != UNTOLD:
            return None
        if self._frame.color_primaries == WIDE_PRIMARIES[0]:
            return "BT2020"
        return "ITU709" if self._frame.height >= HIGH_DEFINITION else None

    def _mapping(self) -> dict[str, Any]:
        """FFmpeg's options that map the frame's gamut and range of light, if they need it."""
        bright = self._frame.color_trc in (PQ, HLG)
        if not bright and self._frame.color_primaries not in WIDE_PRIMARIES:
            return {}
        curve = SRGB if bright else BT709
        target = {"dst_color_trc": curve, "dst_color_primaries": BT709}
        return {**target, "dst_colorspace": "ITU709"}

    def _stretched(self, picture: np.ndarray) -> np.ndarray:
        """Grey of limited range as full range: FFmpeg takes every grey for full, told or not."""
        if self._frame.color_range != LIMITED or not self._frame.format.name.startswith("gray"):
            return picture
        stretched = (picture.astype(np.float32) - 16) * (255 / 219)
        return stretched.round().clip(0, 255).astype(np.uint8)


@dataclass
class OpenVideo:
    """A video whose frames can be read once.

    seconds  duration as the file promises it, 0 where it does not
    damage   (frame, time) from which frames are missing, None while none are
    """

    seconds: float
    _container: InputContainer
    _stream: VideoStream
    _decoder: VideoCodecContext | None = None
    damage: tuple[int, float] | None = field(default=None)

    def frames(self) -> Iterator[DecodedFrame]:
        """Frames in order of time. Damaged ones are left out, and the first noted in `damage`."""
        from av.video.reformatter import VideoReformatter

        reformatter = VideoReformatter()  # keeps its tables from frame to frame
        count, start, time = 0, math.nan, 0.0
        ratio = float(self._stream.sample_aspect_ratio or 1) or 1.0
        for frame in self._decoded():
            if frame is None or frame.is_corrupt:
                self.damage = self.damage or (count, time)
                count += frame is not None
                continue
            stamp = frame.time if frame.time is not None else count * self._interval()
            start = stamp if math.isnan(start) else start
            if stamp - start < time - RESTART_SECONDS:
                start = stamp - time - self._interval()  # joined files count anew
            time = max(time, stamp - start)  # broken time stamps do not run backwards
            yield DecodedFrame(count, time, frame, ratio, reformatter)
            count += 1
        if not self.damage and self.seconds - time > max(MISSING_SECONDS, 2 * self._interval()):
            self.damage = (count, time)

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Decoded frames; None for what could not be decoded."""
        import av

        failed = 0
        packets = self._container.demux(self._stream)
        while failed < MOST_DAMAGED:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                frames = self._decoder.decode(packet) if self._decoder else packet.decode()
                failed = 0
            except av.error.EOFError:
                return
            except av.error.FFmpegError:
                failed += 1
                yield None
                continue
            yield from frames

    def _interval(self) -> float:
        """Seconds from frame to frame on average."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return 1 / float(rate) if rate else 1 / 25


@contextmanager
def open_video(path: Path) -> Iterator[OpenVideo]:
    """A video file, open while the context lasts; one thread decodes it.

    Raises UnreadableVideoError where it is none, and OSError where the disk fails.
    """
    av = _av()
    with path.open("rb") as file:
        try:
            container = av.open(file, "r", container_options={"format_whitelist": CONTAINERS})
        except av.error.FFmpegError as error:
            raise UnreadableVideoError(_not_a_video(error)) from error
        with container:
            yield _opened(container, file)


def _opened(container: InputContainer, file: BinaryIO) -> OpenVideo:
    streams = [stream for stream in container.streams.video if not _is_cover(stream)]
    if not streams:
        raise UnreadableVideoError("no video stream")
    stream = streams[0]
    context = stream.codec_context
    if context is None:
        raise UnreadableVideoError("a video codec that this FFmpeg does not know")
    if context.width * context.height > MOST_PIXELS:
        raise UnreadableVideoError(f"frames of {context.width} x {context.height} pixels")
    context.thread_count = 1
    context.options = {"max_pixels": str(MOST_PIXELS)}  # frames may grow within a stream
    return OpenVideo(_seconds(container, stream), container, stream, _see_through(stream))


def _see_through(stream: VideoStream) -> VideoCodecContext | None:
    """A decoder for transparency that the stream's own leaves out, None where there is none."""
    import av

    name = SEE_THROUGH.get(stream.codec_context.codec.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        return None
    if name not in av.codec.codecs_available:
        raise UnreadableVideoError(f"transparency that this FFmpeg does not decode (no {name})")
    decoder = av.VideoCodecContext.create(name, "r")
    decoder.thread_count = 1
    return decoder


def _on_white(picture: np.ndarray) -> np.ndarray:
    """[H,W,3 or 4] uint8 RGB, transparent where the fourth is 0 -> [H,W,3] on white."""
    if picture.shape[2] == 3:
        return picture
    colours, alpha = picture[..., :3].astype(np.uint16), picture[..., 3:].astype(np.uint16)
    return ((colours * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def _is_cover(stream: VideoStream) -> bool:
    """Whether it is the picture that sound files carry."""
    return "attached_pic" in str(stream.disposition.name or "").lower()


def _seconds(container: InputContainer, stream: VideoStream) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    sound = len(container.streams) > 1  # its duration may be the container's
    return container.duration / 1e6 if container.duration and not sound else 0.0


def _not_a_video(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return f"not a video that can be read ({text})"


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise MagicFaceError(f"Videos need PyAV: {INSTALL}") from error
    return av
