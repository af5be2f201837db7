"""Which videos a folder holds, and whom each shows.

folder      any folder; the first sub-folder is the identity, a video outside one is its own
aff-wild2   Aff-Wild2: videos in batches or not, each video its own identity, whatever the batch
celebv-hq   CelebV-HQ as its download script leaves it: clips named by YouTube video and number
            (``M2Ohb0FAaJU_1.mp4``), the YouTube video being the identity; ``celebvhq_info.json``
            is used where present, and the unprocessed videos in ``raw`` are left out
mead        MEAD: ACTOR/video/VIEW/EMOTION/level_N/001.mp4, actors M001... and W001...
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from .records import Video, VideoError

logger = logging.getLogger(__name__)

SUFFIXES: frozenset[str] = frozenset(
    (
        *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
        *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".webm", ".wmv"),
    )
)
LONGEST_NAME = 60  # characters of the readable part of a video_id
MEAD_ACTOR = re.compile(r"[MW]\d{3}")
CELEBV_INFO = "celebvhq_info.json"
CELEBV_CLIP = re.compile(r"(?P<source>.+)_\d+")

Identify = Callable[[PurePosixPath], str | None]
"""From a path relative to the root, without its ending, to whom it shows; None to leave it out."""


def index_videos(root: Path, layout: str = "folder") -> tuple[Video, ...]:
    """All videos under a folder, sorted by ``video_id``; hidden files and folders are left out.

    Raises VideoError for an unknown layout, a folder that cannot be read or has no videos of it.
    """
    if layout not in ADAPTERS:
        raise VideoError(f'There is no layout "{layout}"; choose one of {", ".join(LAYOUTS)}.')
    root = Path(root)
    if not root.is_dir():
        raise VideoError(f'"{root}" is not a folder; give the folder of the videos.')
    identify = ADAPTERS[layout](root)
    videos, left_out = [], 0
    for path in _files(root):
        relative = PurePosixPath(path.relative_to(root).as_posix())
        identity = identify(relative.with_suffix(""))
        if identity is None:
            left_out += 1
            continue
        size = path.stat().st_size
        videos.append(Video(path, video_id(relative), identity or video_id(relative), size))
    if left_out:
        logger.info("%d files in %s are not videos of the layout %s", left_out, root, layout)
    if not videos:
        raise VideoError(
            f'"{root}" holds no videos of the layout "{layout}" ({", ".join(sorted(SUFFIXES))}); '
            f"check the folder, or choose another layout of {', '.join(LAYOUTS)}."
        )
    return tuple(sorted(videos, key=lambda video: video.video_id))


def video_id(relative: PurePosixPath) -> str:
    """A name from a path relative to the root: readable, safe in file names, and unique."""
    text = _normal(relative)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
    readable = _safe(_normal(relative.with_suffix("")).replace("/", "__"))
    return f"{readable[-LONGEST_NAME:].lstrip('._-')}-{digest}"


def _normal(path: PurePosixPath) -> str:
    """The same text for the same name, whichever way a file system composes accents."""
    return unicodedata.normalize("NFC", str(path))


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "_", text)


def _files(root: Path) -> Iterator[Path]:
    """Files with a video's ending, links followed to files but not to folders."""

    def unreadable(error: OSError) -> None:
        raise VideoError(f'"{error.filename}" cannot be read: {error.strerror}.') from error

    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix.lower() in SUFFIXES and path.is_file():
                yield path


# --- the layouts ----------------------------------------------------------------------------------


def _folder(root: Path) -> Identify:
    return lambda path: _identity(path.parts[0]) if len(path.parts) > 1 else ""


def _aff_wild2(root: Path) -> Identify:
    return lambda path: _identity(path.name)


def _mead(root: Path) -> Identify:
    def actor(path: PurePosixPath) -> str | None:
        # The folder given may also be that of one actor.
        parts = (root.resolve().name, *path.parts[:-1])
        return next((part for part in parts if MEAD_ACTOR.fullmatch(part)), None)

    return actor


def _celebv_hq(root: Path) -> Identify:
    clips = _celebv_info(root)

    def source(path: PurePosixPath) -> str | None:
        if "raw" in path.parts[:-1]:
            return None
        named = CELEBV_CLIP.fullmatch(path.name)
        known = clips.get(path.name)
        if known is None and named is None:
            return None
        return _identity(known or (named["source"] if named else ""))

    return source


def _celebv_info(root: Path) -> dict[str, str]:
    """YouTube video of each clip, from the list of the data set; empty where there is none."""
    path = root / CELEBV_INFO
    if not path.is_file():
        return {}
    try:
        clips = json.loads(path.read_text(encoding="utf-8"))["clips"]
        return {name: str(clip["ytb_id"]) for name, clip in clips.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise VideoError(
            f'"{path}" is not the list of CelebV-HQ ({error!r}); download it again, or remove it '
            "to take the names of the clips."
        ) from error


def _identity(name: str) -> str:
    """Safe in file names; names that had to be changed are told apart by a number."""
    name = unicodedata.normalize("NFC", name)
    safe = _safe(name)
    if safe == name:
        return name
    return f"{safe}-{hashlib.sha256(name.encode('utf-8', 'surrogateescape')).hexdigest()[:8]}"


ADAPTERS: dict[str, Callable[[Path], Identify]] = {
    "folder": _folder,
    "aff-wild2": _aff_wild2,
    "celebv-hq": _celebv_hq,
    "mead": _mead,
}
LAYOUTS: tuple[str, ...] = tuple(ADAPTERS)
