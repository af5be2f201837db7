"""Made-up frame records and the files they pretend to come from; nothing is decoded."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from magicface_training.shards.frames_store import FrameStore
from magicface_training.shards.tasks import TaskOutcome, VideoTask
from magicface_training.videos.records import FrameRecord, PreparedVideo, Rejection, Video
from PIL import Image

SIZE = 16  # pixels of the pictures
FRAMES = 8


def png(pixels: np.ndarray) -> bytes:
    """Pixels as PNG; a boolean picture has one bit a pixel."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def made_up_frame(
    video_id: str, identity_id: str, number: int, *, scene: int = 0, **values: object
) -> FrameRecord:
    """Frame `number`, at that second: noise, AUs and pose that depend on video and number alone."""
    rng = np.random.default_rng(list(f"{video_id} {number}".encode()))
    colours = rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    mask = np.zeros((SIZE, SIZE), bool)
    mask[4:12, 4:12] = True
    aus = rng.uniform(0, 4, 12) * (rng.random(12) < 0.3)
    person = np.random.default_rng(list(identity_id.encode())).standard_normal(128) / 16
    standard = {
        "time": float(number),
        "picture": png(colours),
        "background": png(colours * ~mask[..., None]),
        "mask": png(mask),
        "aus": tuple(aus.tolist()),
        "confidence": (0.8,) * 12,
        "pose": tuple(rng.uniform(-20, 20, 3).tolist()),
        "embedding": tuple((person + rng.standard_normal(128) / 200).tolist()),
        "face_width": 300.0,
        "sharpness": 50.0,
        "occlusion": 0.0,
        "outside": 0.0,
    }
    ids = {"video_id": video_id, "identity_id": identity_id, "scene": scene, "track": 0}
    return FrameRecord(**{**ids, "frame": number, **standard, **values})


def write_videos(folder: Path, identities: int, videos: int = 1) -> list[Video]:
    """Files that stand for videos, each of other bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for person in range(identities):
        for number in range(videos):
            made.append(write_video(folder, f"person{person}_{number}", f"person{person}"))
    return made


def write_video(folder: Path, video_id: str, identity_id: str) -> Video:
    """One such file."""
    path = folder / f"{video_id}.mp4"
    path.write_text(video_id, encoding="utf-8")
    return Video(path, video_id, identity_id, path.stat().st_size)


def made_up_video(video: Video) -> PreparedVideo:
    """What such a file gives: frames, and one rejection."""
    frames = tuple(
        made_up_frame(video.video_id, video.identity_id, n, scene=n // 4) for n in range(FRAMES)
    )
    return PreparedVideo(
        video,
        hashlib.sha256(video.path.read_bytes()).hexdigest(),
        frames,
        (Rejection(video.video_id, 1, FRAMES, float(FRAMES), "blurred"),),
        estimator="made up",
        parser="made up",
    )


def prepare_made_up(task: VideoTask) -> TaskOutcome:
    """In place of `prepare_one`."""
    store = FrameStore(task.folder)
    if store.up_to_date(task.video, task.settings) is not None:
        return TaskOutcome(task.video.video_id, skipped=True)
    store.write(made_up_video(task.video), task.settings)
    return TaskOutcome(task.video.video_id)
