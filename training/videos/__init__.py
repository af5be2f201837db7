"""From a folder of videos to frames with everything that training pairs are made of.

``index_videos`` (layouts) lists the files, ``prepare_video`` (prepare) turns one file into frame
records or a reason why not.
"""

from .records import (
    REASONS,
    FrameRecord,
    PreparedVideo,
    Rejection,
    Video,
    VideoError,
    VideoSettings,
)

__all__ = [
    "REASONS",
    "FrameRecord",
    "PreparedVideo",
    "Rejection",
    "Video",
    "VideoError",
    "VideoSettings",
]
