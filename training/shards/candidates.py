"""Which two frames of a person may become a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from magicface_core.perception.placing import (
    BOX_WIDTH_PER_MESH_WIDTH,
    OFFICIAL_FACE_FRACTION,
    OFFICIAL_SIZE,
)

from .backdrop import backdrop_distances, cells_of
from .frames_store import FrameStore
from .pair_settings import PairSettings

NUMBERS = ("scene", "time", "aus", "pose", "embedding", "face_width", "outside")
COLUMNS = (*NUMBERS, "backdrop")


@dataclass(frozen=True)
class IdentityFrames:
    """All frames of one identity, without pictures; row n of each array is one frame.

    video [N] number in `video_ids`; row [N] in that video's frame file; scene [N]; time [N]
    seconds; aus [N,12]; pose [N,3] degrees; embedding [N,128]; face_width [N] pixels in the video;
    outside [N] share of the crop outside the frame; colours [N,cells,3] and counts [N,cells] of the
    backdrop.
    """

    identity_id: str
    video_ids: tuple[str, ...]
    video: np.ndarray
    row: np.ndarray
    scene: np.ndarray
    time: np.ndarray
    aus: np.ndarray
    pose: np.ndarray
    embedding: np.ndarray
    face_width: np.ndarray
    outside: np.ndarray
    colours: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @property
    def weight(self) -> np.ndarray:
        """How gladly each frame is taken: [N], below 1 where it was enlarged or cut off."""
        weight: np.ndarray = (1 - self.outside) / enlargement(self.face_width)
        return weight

    def thinned(self, most: int) -> IdentityFrames:
        """At most so many frames, evenly spread."""
        if len(self) <= most:
            return self
        kept = np.linspace(0, len(self) - 1, most).round().astype(int)
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {k: v[kept] for k, v in values.items() if isinstance(v, np.ndarray)}
        return replace(self, **arrays)


@dataclass(frozen=True)
class Candidates:
    """Pairs of frames of one identity that the rule allows, each unordered pair once.

    first, second [M] frames; delta [M,12] second - first; turn [M] largest difference of an angle,
    degrees; distance [M] of the embeddings.
    """

    first: np.ndarray
    second: np.ndarray
    delta: np.ndarray
    turn: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.first)


def enlargement(face_width: np.ndarray) -> np.ndarray:
    """How many times the published crop of 512 pixels enlarges a face, at least 1: [N] of [N]."""
    side = np.asarray(face_width) * (BOX_WIDTH_PER_MESH_WIDTH / OFFICIAL_FACE_FRACTION)
    larger: np.ndarray = np.maximum(OFFICIAL_SIZE / side, 1.0)
    return larger


def load_identity(
    store: FrameStore, identity_id: str, video_ids: Sequence[str], most: int
) -> IdentityFrames:
    """The frames of an identity, at most `most` of them, in the order of videos and time."""
    read = [store.columns(video_id, COLUMNS) for video_id in video_ids]
    lengths = [len(columns["time"]) for columns in read]
    colours, counts = cells_of([cells for columns in read for cells in columns["backdrop"]])
    frames = IdentityFrames(
        identity_id,
        tuple(video_ids),
        video=np.repeat(np.arange(len(read)), lengths),
        row=np.concatenate([np.arange(length) for length in lengths]),
        **{name: np.concatenate([columns[name] for columns in read]) for name in NUMBERS},
        colours=colours,
        counts=counts,
    )
    return frames.thinned(most)


def find_candidates(frames: IdentityFrames, settings: PairSettings) -> Candidates:
    """The pairs that lie apart, differ in pose or background, and surely show one person."""
    distance = _distances(frames.embedding)
    turn = _largest_differences(frames.pose)
    allowed = np.logical_and.reduce(list(_rules(frames, distance, turn, settings).values()))
    first, second = np.nonzero(np.triu(allowed, 1))
    return Candidates(
        first,
        second,
        (frames.aus[second] - frames.aus[first]).astype(np.float32),
        turn[first, second],
        distance[first, second],
    )


def lost_pairs(frames: IdentityFrames, settings: PairSettings) -> dict[str, int]:
    """How many pairs of frames each setting of `_rules` refuses; several may refuse one."""
    distance, turn = _distances(frames.embedding), _largest_differences(frames.pose)
    rules = _rules(frames, distance, turn, settings)
    return {name: int(np.triu(~allowed, 1).sum()) for name, allowed in rules.items()}


def _rules(
    frames: IdentityFrames, distance: np.ndarray, turn: np.ndarray, settings: PairSettings
) -> dict[str, np.ndarray]:
    """Which pairs [N,N] bool the rule behind each setting allows."""
    elsewhere = backdrop_distances(frames.colours, frames.counts) >= settings.background_apart
    return {
        "seconds_apart": _apart(frames, settings.seconds_apart),
        "pose_apart": (turn >= settings.pose_apart) | elsewhere,
        "identity_distance": distance < settings.identity_distance,
    }


def _apart(frames: IdentityFrames, seconds: float) -> np.ndarray:
    """Another video or another scene, or some time later in the same."""
    other = frames.video[:, None] != frames.video[None]
    other |= frames.scene[:, None] != frames.scene[None]
    return other | (np.abs(frames.time[:, None] - frames.time[None]) >= seconds)


def _distances(embeddings: np.ndarray) -> np.ndarray:
    """Euclidean distances [N,N] of [N,128]."""
    squares = (embeddings**2).sum(axis=1)
    total = squares[:, None] + squares[None] - 2 * embeddings @ embeddings.T
    return np.sqrt(np.maximum(total, 0)).astype(np.float32)


def _largest_differences(angles: np.ndarray) -> np.ndarray:
    """The largest of the differences in yaw, pitch and roll [N,N] of [N,3]."""
    largest = np.zeros((len(angles), len(angles)), np.float32)
    for angle in angles.T:
        np.maximum(largest, np.abs(angle[:, None] - angle[None]), out=largest)
    return largest
