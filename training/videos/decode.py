"""Frames of a video file: upright, with their times, one at a time.

PyAV (FFmpeg in its wheel) decodes; it is imported when a video is opened. Only containers of the
list below are opened: FFmpeg would also read text files, pictures and play lists as videos, and
play lists may name other files and addresses.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from magicface_core.errors import MagicFaceError

from .records import VideoError

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

CONTAINERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,h264,hevc"
)
THUMBNAIL = (64, 36)  # width and height in pixels
LARGEST_SIDE = 4096  # of a decoded picture; larger frames are reduced while they are converted
MOST_PIXELS = 1 << 28  # of a frame; more is taken for a damaged header
MOST_DAMAGED = 100  # packets in a row that cannot be decoded, after which a video is given up
MISSING_SECONDS = 1.0  # less than promised by at least this much is called damage
UNSPECIFIED = 2  # FFmpeg's number of a colour space that the file does not tell
HIGH_DEFINITION = 720  # rows from which players then take BT.709, below it BT.601
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

    @property
    def turned(self) -> int:
        """Quarter turns counter-clockwise that make the frame upright, 0..3."""
        return round(self._frame.rotation / 90) % 4

    def picture(self) -> np.ndarray:
        """[H,W,3] uint8 RGB, upright, square pixels, at most LARGEST_SIDE on a side."""
        width = self._frame.width * max(1.0, self._pixel_ratio)
        height = self._frame.height / min(1.0, self._pixel_ratio)
        reduction = min(1.0, LARGEST_SIDE / max(width, height))
        return self._converted(round(width * reduction), round(height * reduction), "AREA")

    def thumbnail(self) -> np.ndarray:
        """[36,64,3] uint8 RGB (sides exchanged for turned frames), shape not kept."""
        return self._converted(*THUMBNAIL, "FAST_BILINEAR")

    def _converted(self, width: int, height: int, interpolation: str) -> np.ndarray:
        if (width, height) == (self._frame.width, self._frame.height):
            interpolation = "BICUBIC"
        untold = self._frame.colorspace == UNSPECIFIED and self._frame.height >= HIGH_DEFINITION
        rgb = self._frame.reformat(
            width=max(1, width),
            height=max(1, height),
            format="rgb24",
            interpolation=interpolation,
            src_colorspace="ITU709" if untold else None,
        ).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, self.turned))


@dataclass
class OpenVideo:
    """A video whose frames can be read once.

    seconds  duration as the file promises it, 0 where it does not
    damage   (frame, time) from which frames are missing, None while none are
    """

    seconds: float
    _container: InputContainer
    _stream: VideoStream
    damage: tuple[int, float] | None = field(default=None)

    def frames(self) -> Iterator[DecodedFrame]:
        """Frames in order of time. Damaged ones are left out, and the first noted in `damage`."""
        count, start, time = 0, math.nan, 0.0
        ratio = float(self._stream.sample_aspect_ratio or 1) or 1.0
        for frame in self._decoded():
            if frame is None or frame.is_corrupt:
                self.damage = self.damage or (count, time)
                count += frame is not None
                continue
            stamp = frame.time if frame.time is not None else count * self._interval()
            start = stamp if math.isnan(start) else start
            time = max(time, stamp - start)  # broken time stamps do not run backwards
            yield DecodedFrame(count, time, frame, ratio)
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
                frames = packet.decode()
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
    return OpenVideo(_seconds(container, stream), container, stream)


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
