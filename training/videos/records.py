"""What goes into the preparation of a video, and what comes out of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

from magicface_core.errors import MagicFaceError

Region = Literal["face", "person"]

REASONS: tuple[str, ...] = (
    "no face",
    "face too small",
    "turned away",
    "several faces",
    "cut off",
    "blurred",
    "occluded",
    "other person",
    "damaged",
    "failed video",
)
"""Why a frame gives no record. "cut off": too much of the crop lies outside the
frame; "other person": not the one whom most frames of the video show;
"damaged": nothing can be decoded from here on; "failed video": see `PreparedVideo.failure`."""

LIMITS: dict[str, str] = {
    "face too small": "minimum_face",
    "turned away": "maximum_yaw",
    "cut off": "maximum_outside",
    "blurred": "minimum_sharpness",
    "occluded": "maximum_occlusion",
}
"""The setting that a reason comes from, where there is one."""

SMALLEST_PICTURE = 64
LARGEST_PICTURE = 512  # the library parses and draws at this size


class VideoError(MagicFaceError):
    """A folder of videos, or a setting of their preparation, that cannot be used."""


@dataclass(frozen=True)
class Video:
    """One file of an indexed folder.

    path        where it is
    video_id    stable and safe as a file name, made from the path relative to the folder
    identity_id whom it shows; videos of one identity may be paired and stay in one split
    size        bytes
    """

    path: Path
    video_id: str
    identity_id: str
    size: int


@dataclass(frozen=True)
class VideoSettings:
    """Everything that changes a frame record.

    The defaults take what public sets of talking heads hold: a face 96 pixels wide is what a frame
    of VoxCeleb shows (224 pixels, enlarged 2.4 times to 512), and faces of CelebV-HQ fill so much
    of their 512 pixels that up to two fifths of the published crop lie outside. Pairs of such
    frames are drawn less often than others (see `candidates.IdentityFrames.weight`).

    frames_per_second  frames looked at, by time, whatever the video's own rate
    picture_size       side in pixels of the crops
    minimum_face       least width in pixels of a face in the video
    maximum_yaw        degrees to either side
    maximum_outside    largest share of the crop outside the frame, 0..1; the crop is mirrored there
    minimum_sharpness  least variance of the face's Laplacian (see `quality.measure`)
    maximum_occlusion  largest hidden share of a face, 0..1 (see `quality.occlusion`)
    region             what is blacked out of the background picture
    au_backend, parser backends by their names in `magicface_core.perception.backends`
    scene_change       histogram distance 0..1 of neighbouring frames from which a scene is new
    maximum_seconds    of a video, from its start; 0 for all of it
    maximum_frames     looked at in a video; longer ones are sampled sparser. 0 for no limit, which
                       makes the memory needed (about 0.7 MB a frame) grow with the video
    """

    frames_per_second: float = 2.0
    picture_size: int = 512
    minimum_face: int = 96
    maximum_yaw: float = 60.0
    maximum_outside: float = 0.4
    minimum_sharpness: float = 12.0
    maximum_occlusion: float = 0.25
    region: Region = "face"
    au_backend: str = "auto"
    parser: str = "auto"
    scene_change: float = 0.2
    maximum_seconds: float = 0.0
    maximum_frames: int = 240

    def __post_init__(self) -> None:
        _require("frames_per_second", self.frames_per_second, 0.01, 240)
        _require("picture_size", self.picture_size, SMALLEST_PICTURE, 4096)
        _require("minimum_face", self.minimum_face, 16, 4096)
        _require("maximum_yaw", self.maximum_yaw, 0, 180)
        _require("maximum_outside", self.maximum_outside, 0, 1)
        _require("minimum_sharpness", self.minimum_sharpness, 0, math.inf)
        _require("maximum_occlusion", self.maximum_occlusion, 0, 1)
        _require("scene_change", self.scene_change, 0, 1)
        _require("maximum_seconds", self.maximum_seconds, 0, math.inf)
        _require("maximum_frames", self.maximum_frames, 0, math.inf)
        if self.picture_size % 8:
            raise VideoError(f"picture_size is {self.picture_size}; choose a multiple of 8.")
        if self.region not in ("face", "person"):
            raise VideoError(f'region is "{self.region}"; choose "face" or "person".')

    def to_json(self) -> str:
        """One line, keys sorted: equal settings give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> VideoSettings:
        """The settings from a mapping such as ``json.loads(settings.to_json())``.

        Raises VideoError for an unknown key or a value out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise VideoError(
                f"Unknown settings of videos: {', '.join(unknown)}; "
                f"there are {', '.join(sorted(known))}."
            )
        return cls(**values)


@dataclass(frozen=True)
class FrameRecord:
    """One face of one frame, cropped and described.

    scene, track  numbers within the video; a track is one face without a cut
    frame         number of the frame in the video, from 0
    time          seconds from the video's first frame
    picture       PNG, the crop as published, picture_size square
    background    PNG, background + pose picture of this frame
    mask          1-bit PNG, 1 where the background picture is blacked out
    aus           [12] intensities 0..5 in `AU_ORDER`
    confidence    [12] 0..1, how far each can be trusted
    pose          yaw (to the subject's left), pitch (down), roll (to the subject's left shoulder),
                  degrees
    embedding     [128] identity, compared by Euclidean distance
    face_width    pixels in the video
    sharpness, occlusion, outside  see `quality.Measures`
    """

    video_id: str
    identity_id: str
    scene: int
    track: int
    frame: int
    time: float
    picture: bytes
    background: bytes
    mask: bytes
    aus: tuple[float, ...]
    confidence: tuple[float, ...]
    pose: tuple[float, float, float]
    embedding: tuple[float, ...]
    face_width: float
    sharpness: float
    occlusion: float
    outside: float


@dataclass(frozen=True)
class Rejection:
    """A face or frame that gives no record; `reason` is one of REASONS."""

    video_id: str
    scene: int
    frame: int
    time: float
    reason: str


@dataclass(frozen=True)
class PreparedVideo:
    """Everything one video gave.

    sha256      of the file; "" where it could not be read
    frames      in order of time
    rejections  in order of time
    failure     "" or why the whole video was skipped
    estimator   backend of the action units, "" without frames
    parser      backend of the masks, "" without frames
    seconds     duration as far as it was read
    rotation    degrees clockwise by which the frames were turned upright, as the file asks
                (mirrored ones after left and right have changed places)
    width, height  of the upright frames in pixels, of the last one where they change
    sampled     frames looked at
    """

    video: Video
    sha256: str
    frames: tuple[FrameRecord, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    failure: str = ""
    estimator: str = ""
    parser: str = ""
    seconds: float = 0.0
    rotation: int = 0
    width: int = 0
    height: int = 0
    sampled: int = 0


def _require(name: str, value: float, lowest: float, highest: float) -> None:
    if not (lowest <= value <= highest):
        limit = f"{lowest:g} or more" if math.isinf(highest) else f"{lowest:g} to {highest:g}"
        raise VideoError(f"{name} is {value}; choose {limit}.")
