"""Real video files of synthetic faces, and files that are no videos.

Pictures are rendered small, twice a second, and held in between; what was rendered is kept, so a
second video of the same face costs little.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from magicface_training.synthetic import (
    Frame,
    HeadModel,
    Identity,
    edit_set_rng,
    sample_expression_set,
    sample_identity,
    sample_scene,
)
from magicface_training.synthetic.picture.render import render

POSES = 8  # pictures of a scene, after which they repeat
CLOSENESS = 0.7  # of the renderer's own framing; the official crop fits into the picture then
LARGEST_YAW = 14.0  # degrees by which the head turns within a scene
TICKS = 1000  # time stamps a second


@dataclass(frozen=True)
class Shown:
    """One frame as it was written.

    time   seconds from the first
    scene  number of the scene
    aus    [12] intensities 0..5 of the first face
    pose   yaw, pitch, roll of the first face, degrees
    """

    time: float
    scene: int
    aus: np.ndarray
    pose: np.ndarray


def write_face_video(
    path: Path,
    *,
    identity: int | Sequence[int] = 40_001,
    seconds: float = 2.0,
    frames_per_second: float = 8.0,
    size: int = 192,
    scenes: int = 1,
    poses_per_second: float = 2.0,
    rotation: int = 0,
    variable_rate: bool = False,
    margin: int = 0,
    yaw: float | None = None,
    blur: int = 0,
    cover: float = 0.0,
    pixel_ratio: Fraction | None = None,
    codec: str = "libx264",
) -> tuple[Shown, ...]:
    """Writes a video (container by the name's ending) and returns what each frame shows.

    Args:
        path: the file; its folder is created.
        identity: seed of the face, or of several side by side.
        seconds, frames_per_second: of the video; the number of frames is their product.
        size: side in pixels of each face's picture; the face is about 0.43 as wide.
        scenes: cuts the video into so many parts of other backdrop, light and place.
        poses_per_second: new expressions and poses a second.
        rotation: degrees clockwise by which a player must turn the frames; the faces are upright
            then.
        variable_rate: frames last between half and twice as long.
        margin: pixels of grey on the left and right, which make the picture wider.
        yaw: of every head instead of the changing one, degrees.
        blur: radius in pixels of a box blur.
        cover: share of the picture's height, from below, that a blue board hides.
        pixel_ratio: width over height of a pixel that players shall assume.
        codec: of FFmpeg.
    """
    identities = [identity] if isinstance(identity, int) else list(identity)
    times = _times(round(seconds * frames_per_second), frames_per_second, variable_rate)
    shown, pictures = [], []
    for number, time in enumerate(times):
        scene = number * scenes // len(times)
        step = int(time * poses_per_second) % POSES
        rows = [_rendered(seed, scene, step, size, yaw) for seed in identities]
        shown.append(Shown(time, scene, rows[0][1].au, rows[0][1].pose))
        picture = np.concatenate([image for image, _ in rows], axis=1)
        pictures.append(_changed(picture, margin, blur, cover, rotation))
    path.parent.mkdir(parents=True, exist_ok=True)
    _encode(path, pictures, times, frames_per_second, rotation, pixel_ratio, codec)
    return tuple(shown)


def rendered_face(identity: int, step: int, size: int) -> np.ndarray:
    """[size,size,3] uint8, one of the pictures that `write_face_video` shows."""
    return _rendered(identity, 0, step % POSES, size, None)[0]


def write_scenery(path: Path, *, seconds: float = 1.0, frames_per_second: float = 8.0) -> None:
    """A video without a face: a moving gradient."""
    columns = np.linspace(0, 255, 96)
    times = _times(round(seconds * frames_per_second), frames_per_second, False)
    pictures = [
        np.broadcast_to(np.roll(columns, 3 * number)[None, :, None], (64, 96, 3)).astype(np.uint8)
        for number in range(len(times))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    _encode(path, pictures, times, frames_per_second, 0, None, "libx264")


def write_sound(path: Path) -> None:
    """A file of half a second of silence, without any picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


def cut_short(path: Path, share: float) -> None:
    """Drops the end of a file, as a broken download does."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


@functools.cache
def head_model() -> HeadModel:
    """Loaded once; never changed."""
    return HeadModel.load()


@functools.cache
def _identity(seed: int) -> Identity:
    return sample_identity(head_model(), seed)


@functools.lru_cache(maxsize=1024)
def _rendered(
    seed: int, scene: int, step: int, size: int, yaw: float | None
) -> tuple[np.ndarray, Frame]:
    """Picture [size,size,3] uint8 and its frame."""
    rng = edit_set_rng(1000 * seed + scene)
    base = sample_scene(rng)
    expressions = sample_expression_set(rng, POSES)
    turns = rng.uniform(-LARGEST_YAW, LARGEST_YAW, POSES)
    noise = rng.integers(1 << 31, size=POSES)
    pose = base.pose * 0.3
    pose[0] = turns[step] if yaw is None else yaw
    frame = replace(
        base,
        au=expressions[step],
        pose=pose,
        noise_seed=int(noise[step]),
        zoom=CLOSENESS * base.zoom,
    )
    return render(head_model(), _identity(seed), frame, size).image, frame


def _times(count: int, frames_per_second: float, variable: bool) -> list[float]:
    """Seconds of each frame; with a variable rate the first and the mean interval stay."""
    steps = np.full(max(count, 1), 1 / frames_per_second)
    if variable:
        steps *= np.random.default_rng(count).choice([0.5, 0.75, 1.0, 2.0], len(steps))
    return [round(float(time), 3) for time in np.cumsum(steps) - steps[0]][: max(count, 1)]


def _changed(
    picture: np.ndarray, margin: int, blur: int, cover: float, rotation: int
) -> np.ndarray:
    picture = picture.copy()
    if cover:
        picture[round(len(picture) * (1 - cover)) :] = (40, 70, 200)
    picture = np.pad(picture, ((0, 0), (margin, margin), (0, 0)), constant_values=128)
    for axis in (0, 1) if blur else ():
        shifted = [np.roll(picture, offset, axis) for offset in range(-blur, blur + 1)]
        picture = np.mean(shifted, axis=0).astype(np.uint8)
    return np.ascontiguousarray(np.rot90(picture, rotation // 90))


def _encode(
    path: Path,
    pictures: Sequence[np.ndarray],
    times: Sequence[float],
    frames_per_second: float,
    rotation: int,
    pixel_ratio: Fraction | None,
    codec: str,
) -> None:
    options = {"preset": "ultrafast", "crf": "10", "threads": "1"} if codec == "libx264" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(frames_per_second).limit_denominator())
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = options
        stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
        if pixel_ratio is not None:
            stream.codec_context.sample_aspect_ratio = pixel_ratio
        if rotation:
            stream.set_display_rotation(-rotation)
        for picture, time in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.time_base, frame.pts = Fraction(1, TICKS), round(time * TICKS)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
