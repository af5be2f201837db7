"""Which faces of neighbouring frames are one face, and which tracks show one person.

Faces are compared by where they are (intersection over union of their boxes) and by who they are
(distance of their identity embeddings). No track crosses a scene cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from magicface_core.framing.boxes import area, shared_area
from magicface_core.perception.identity import identity_distance

# Two pictures below a distance of 0.6 are one person's for dlib; means over tracks are surer.
SAME_PERSON = 0.55
# Faces at the same place may look less alike (a turned head), faces far apart must look more alike.
STRICT, LENIENT = 0.45, 0.6
MOST_ABSENT = 3.0  # seconds after which a face that comes back begins a new track


@dataclass
class Track:
    """One face without a cut: its last place and its mean embedding."""

    number: int
    scene: int
    box: np.ndarray
    time: float
    total: np.ndarray
    count: int = 1

    @property
    def embedding(self) -> np.ndarray:
        """[128], the mean over the track."""
        mean: np.ndarray = self.total / self.count
        return mean

    def add(self, box: np.ndarray, embedding: np.ndarray, time: float) -> None:
        self.box, self.time = box, time
        self.total, self.count = self.total + embedding, self.count + 1


class Tracker:
    """Links the faces of a video's frames, which are to be given in order of time."""

    def __init__(self) -> None:
        self.tracks: list[Track] = []

    def link(
        self,
        scene: int,
        time: float,
        boxes: Sequence[np.ndarray],
        embeddings: Sequence[np.ndarray],
    ) -> list[int]:
        """The track of each face of a frame.

        Args:
            scene: of the frame.
            time: of the frame, seconds.
            boxes: [4] x1, y1, x2, y2 each, as shares of the frame's width and height.
            embeddings: [128] each.
        """
        within = [t for t in self.tracks if t.scene == scene and time - t.time <= MOST_ABSENT]
        likely = sorted(
            (distance, track.number, face)
            for track in within
            for face in range(len(boxes))
            if (distance := _distance(track, boxes[face], embeddings[face])) is not None
        )
        chosen: dict[int, int] = {}
        for _, number, face in likely:
            if face not in chosen and number not in chosen.values():
                chosen[face] = number
        for face, (box, embedding) in enumerate(zip(boxes, embeddings, strict=True)):
            if face in chosen:
                self.tracks[chosen[face]].add(box, embedding, time)
            else:
                chosen[face] = len(self.tracks)
                first = np.asarray(embedding, np.float64)
                self.tracks.append(Track(chosen[face], scene, box, time, first))
        return [chosen[face] for face in range(len(boxes))]

    def main_person(self) -> frozenset[int]:
        """Numbers of the tracks that show whom the longest track shows."""
        if not self.tracks:
            return frozenset()
        longest = max(self.tracks, key=lambda track: (track.count, -track.number))
        return frozenset(
            track.number
            for track in self.tracks
            if identity_distance(track.embedding, longest.embedding) < SAME_PERSON
        )


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes [4], 0..1."""
    shared = shared_area(first, second)
    union = area(first) + area(second) - shared
    return shared / union if union > 0 else 0.0


def _distance(track: Track, box: np.ndarray, embedding: np.ndarray) -> float | None:
    """How unlike a face is a track, None where they cannot be one face."""
    distance = identity_distance(track.embedding, embedding)
    place = min(1.0, 2 * overlap(track.box, box))
    return distance if distance < STRICT + (LENIENT - STRICT) * place else None
