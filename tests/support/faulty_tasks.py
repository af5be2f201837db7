"""Tasks with the faults of a large run, told by the name of the video; workers import this module.

Each fault happens once, noted by a file in the folder ``faults`` next to the frame files, except
those of ``poison`` videos.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from made_up_frames import prepare_made_up
from magicface_training.shards.tasks import TaskOutcome, VideoTask, prepare_one

from magicface_core.files import whole_file

FAULTS = "faults"


def faulty(task: VideoTask) -> TaskOutcome:
    """Die, fail or work, as the name of the video says."""
    kind = task.video.video_id.partition("_")[0]
    if kind == "poison":
        os._exit(1)
    if kind == "killed" and _first_time(task):
        os._exit(1)
    if kind == "late" and _first_time(task):
        prepare_made_up(task)  # the work is done, but nobody hears of it
        os._exit(1)
    if kind == "transient" and _first_time(task):
        raise OSError(errno.EIO, "the network file system is away")
    if kind == "bug":
        raise ZeroDivisionError("a mistake in the program")
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "slow":
        return _write_slowly(task)
    if kind == "fills":
        _wait_for_a_file_being_written(task)
        raise OSError(errno.ENOSPC, "No space left on device")
    if kind == "corrupt":
        return prepare_one(task)
    return prepare_made_up(task)


def _write_slowly(task: VideoTask) -> TaskOutcome:
    with whole_file(Path(task.folder) / "slow") as path:
        path.touch()
        for _ in range(30):
            time.sleep(0.1)
    return TaskOutcome(task.video.video_id)


def _wait_for_a_file_being_written(task: VideoTask) -> None:
    for _ in range(600):
        if list(Path(task.folder).glob(".*.part")):
            return
        time.sleep(0.1)


def _first_time(task: VideoTask) -> bool:
    note = Path(task.folder).parent / FAULTS / task.video.video_id
    note.parent.mkdir(parents=True, exist_ok=True)
    if note.exists():
        return False
    note.touch()
    return True
