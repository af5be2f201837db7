"""One video as one task, which can be repeated at any time: what every engine runs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from magicface_core.errors import MagicFaceError, ModelError, OutputError

from ..videos.records import Video, VideoSettings
from .errors import FULL_OR_CLOSED
from .frames_store import FrameStore

if TYPE_CHECKING:
    from magicface_core.perception import Perception

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoTask:
    """Prepare one video into the folder of the frame files."""

    video: Video
    settings: VideoSettings
    folder: Path


@dataclass(frozen=True)
class TaskOutcome:
    """How a task ended; its record lies in the folder unless it failed.

    failure   why there is no record; the next run tries again
    stop      why no other task can succeed either, with what to do; the run ends
    skipped   whether an earlier run had done it
    """

    video_id: str
    failure: str = ""
    stop: str = ""
    skipped: bool = False


TaskFunction = Callable[[VideoTask], TaskOutcome]


@dataclass(frozen=True)
class Attempts:
    """How often a task is tried, and how long to wait (seconds, doubled each time) in between."""

    most: int = 4
    wait: float = 0.5


def prepare_one(task: VideoTask) -> TaskOutcome:
    """Prepare a video unless that is done; raises OSError for faults that may pass."""
    from ..videos.prepare import prepare_video

    store = FrameStore(task.folder)
    video_id = task.video.video_id
    if store.up_to_date(task.video, task.settings) is not None:
        return TaskOutcome(video_id, skipped=True)
    perception = _perception(task.settings)
    prepared = prepare_video(task.video, task.settings, perception)
    if not prepared.sha256:
        return TaskOutcome(video_id, failure=prepared.failure)
    store.write(prepared, task.settings)
    return TaskOutcome(video_id)


def attempted(function: TaskFunction, task: VideoTask, attempts: Attempts) -> TaskOutcome:
    """Run a task in a worker, again after a fault of disk or network that may pass."""
    last: OSError | None = None
    for attempt in range(attempts.most):
        if last is not None:
            logger.warning("%s: %s; trying again", task.video.video_id, last)
            time.sleep(attempts.wait * 2 ** (attempt - 1))
        try:
            return function(task)
        except (OutputError, ModelError) as error:
            return TaskOutcome(task.video.video_id, stop=str(error))
        except MagicFaceError as error:
            return TaskOutcome(task.video.video_id, failure=str(error))
        except OSError as error:
            if error.errno in FULL_OR_CLOSED and error.filename != str(task.video.path):
                return TaskOutcome(task.video.video_id, stop=_full(task, error))
            last = error
    return TaskOutcome(task.video.video_id, failure=f"unreadable: {last}")


def lost(task: VideoTask, attempts: int) -> TaskOutcome:
    """The outcome of a task whose worker died each time."""
    text = f"its worker died {attempts} times (out of memory, or a fault in a decoder)"
    return TaskOutcome(task.video.video_id, failure=text)


def broken(task: VideoTask, error: BaseException) -> TaskOutcome:
    """The outcome of a task that met an error of the program; the others go on."""
    logger.error("%s: %s", task.video.video_id, error, exc_info=error)
    return TaskOutcome(task.video.video_id, failure=f"{type(error).__name__}: {error}")


@lru_cache(maxsize=1)
def _perception(settings: VideoSettings) -> Perception:
    """The networks of this worker, loaded once."""
    from ..videos.prepare import load_perception

    return load_perception(settings)


def _full(task: VideoTask, error: OSError) -> str:
    return (
        f'"{error.filename or task.folder}" cannot be written: {error.strerror or error}. '
        "Finished videos are kept; make room, then run the same command again."
    )
