"""Speed of preparing videos for training: frames a second of one core, and growth with cores.

Videos of synthetic faces are rendered first, which is not measured. Each process decodes and
prepares whole videos with one thread, as `magicface-data prepare` does.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import multiprocessing
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from fractions import Fraction
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import numpy as np
import torch
from magicface_training.videos import PreparedVideo, Video, VideoSettings
from magicface_training.videos.decode import open_video
from magicface_training.videos.prepare import load_perception, prepare_video

from magicface_core.perception import Perception

SEED = 40_101
LONGEST_START = 600.0  # seconds
VERSIONED = ("av", "numpy", "pillow", "torch")


WIDTH, HEIGHT, FACE = 1920, 1080, 640  # pixels of a frame, and of the square with the face in it
RATE, SECONDS, EXPRESSIONS = 25, 20, 8


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns 1 where no frame was fit for training."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--video", type=Path, help="of your own (default: a synthetic one)")
    parser.add_argument("--videos", type=int, default=2, help="how often each process prepares it")
    parser.add_argument(
        "--processes", type=int, nargs="+", default=_doubling(os.cpu_count() or 1), metavar="N"
    )
    parser.add_argument("--minimum-face", type=int, default=VideoSettings.minimum_face)
    parser.add_argument("--region", choices=("face", "person"), default=VideoSettings.region)
    args = parser.parse_args(argv)
    settings = VideoSettings(minimum_face=args.minimum_face, region=args.region)
    with tempfile.TemporaryDirectory() as folder:
        path = args.video or write_video(Path(folder) / "video.mp4")
        result = measure(path, settings, args.processes, args.videos)
    print(f"decoding alone  {result['decoded_per_second']:8.1f} frames/s of one core")
    for row in result["growth"]:
        print(
            f"{row['processes']:3d} processes  {row['frames_per_second']:8.2f} frames/s"
            f"  {row['per_process']:8.2f} of each"
            f"  {row['per_busy_second']:8.2f} a second of CPU time"
            f"  {row['video_seconds_per_second']:6.1f} x real time"
        )
    print(json.dumps({**result, **machine()}))
    return 0 if result["kept"] else 1


def measure(
    path: Path, settings: VideoSettings, processes: Sequence[int], videos: int
) -> dict[str, Any]:
    """Frames a second by number of processes; the frames counted are those looked at."""
    prepared = _prepared(path, settings, load_perception(settings))
    rows = [growth(path, settings, count, videos) for count in processes]
    for row in rows:
        row["video_seconds_per_second"] *= prepared.seconds
    return {
        "seed": SEED,
        "size": [prepared.width, prepared.height],
        "region": settings.region,
        "looked_at": prepared.sampled,
        "kept": len(prepared.frames),
        "decoded_per_second": decoding_speed(path),
        "growth": rows,
    }


def decoding_speed(path: Path) -> float:
    """Frames a second decoded by one thread, with the thumbnails that cuts are found on."""
    start = time.perf_counter()
    with open_video(path) as opened:
        count = sum(1 for frame in opened.frames() if frame.thumbnail().size)
    return count / (time.perf_counter() - start)


def growth(path: Path, settings: VideoSettings, processes: int, videos: int) -> dict[str, Any]:
    """Frames a second of so many processes, each with as many videos; start-up is not counted."""
    context = multiprocessing.get_context("spawn")
    ready, looked_at = context.Barrier(processes + 1), context.SimpleQueue()
    given = (path, settings, videos, ready, looked_at)
    workers = [context.Process(target=_work, args=given) for _ in range(processes)]
    for worker in workers:
        worker.start()
    ready.wait(LONGEST_START)
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - start
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a process failed; its error is above")
    frames, busy = np.sum([looked_at.get() for _ in workers], axis=0)
    return {
        "processes": processes,
        "frames_per_second": frames / seconds,
        "per_process": frames / seconds / processes,
        "per_busy_second": frames / busy,
        "video_seconds_per_second": processes * videos / seconds,
    }


def write_video(path: Path) -> Path:
    """A face before a moving backdrop, with a new expression every half second."""
    import av
    from magicface_training.synthetic import (
        HeadModel,
        edit_set_rng,
        sample_edit_set,
        sample_identity,
    )
    from magicface_training.synthetic.picture.render import render

    model = HeadModel.load()
    identity = sample_identity(model, SEED)
    (row,) = sample_edit_set(edit_set_rng(SEED), 1, EXPRESSIONS)
    faces = [render(model, identity, frame, FACE).image for frame in row]
    coarse = np.random.default_rng(SEED).integers(0, 255, (HEIGHT // 16, WIDTH // 16, 3))
    backdrop = np.kron(coarse, np.ones((16, 16, 1))).astype(np.uint8)
    left, top = (WIDTH - FACE) // 2, (HEIGHT - FACE) // 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for number in range(SECONDS * RATE):
            picture = np.roll(backdrop, number, axis=1)
            picture[top : top + FACE, left : left + FACE] = faces[2 * number // RATE % EXPRESSIONS]
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in VERSIONED},
    }


# --- in each process ------------------------------------------------------------------------------


def _work(
    path: Path, settings: VideoSettings, videos: int, ready: Barrier, looked_at: SimpleQueue[Any]
) -> None:
    """Load the networks, wait for the others, prepare a video so often; tells frames, CPU time."""
    torch.set_num_threads(1)
    perception = load_perception(settings)
    perception.faces(torch.zeros(1, 3, 128, 128))
    ready.wait(LONGEST_START)
    start = time.process_time()
    frames = sum(_prepared(path, settings, perception).sampled for _ in range(videos))
    looked_at.put((frames, time.process_time() - start))


def _prepared(path: Path, settings: VideoSettings, perception: Perception) -> PreparedVideo:
    video = Video(path, path.stem, "somebody", path.stat().st_size)
    return prepare_video(video, settings, perception)


def _processor() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _doubling(most: int) -> list[int]:
    """1, 2, 4, ... and the largest."""
    counts = [1 << power for power in range(most.bit_length()) if 1 << power < most]
    return [*counts, most]


if __name__ == "__main__":
    raise SystemExit(main())
