"""Face detection with BlazeFace (short range, 128 pixels).

Bazarevsky et al., "BlazeFace: sub-millisecond neural face detection on mobile GPUs", 2019; weights
converted from MediaPipe's face landmarker (Apache-2.0).

Deviations from MediaPipe: the short-range network misses faces below about a tenth of the frame, so
smaller windows are searched too, and every hit is detected again in a frame of 2.2 times its size,
turned upright when the face is tilted by more than 20 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..pictures.crop import Crop
from ..pictures.resampling import reduced, resample
from .faces import Detection
from .graph import Graph

INPUT_SIZE = 128
THRESHOLD = 0.5
SURE = 0.7  # a hit this sure needs no confirmation from the zoomed frame
OVERLAP = 0.3
ZOOM = 2.2
LARGEST_TILT = math.radians(20)
BATCH = 16


@dataclass(frozen=True)
class Level:
    """Windows of one size to search.

    Attributes:
        side: of the picture's long side.
        largest_face: share of the long side; with a face this large already found, smaller ones are
            not looked for at this level.
        upright_only: too costly for pictures lying on their side.
    """

    side: float
    largest_face: float
    upright_only: bool = False


LEVELS: tuple[Level, ...] = (
    Level(1.0, math.inf),
    Level(0.625, 0.35),
    Level(0.417, 0.35),
    Level(0.25, 0.2, upright_only=True),
)


class BlazeFaceDetector:
    """`FaceDetector` over the converted network `face_detector`."""

    def __init__(self, network: Graph) -> None:
        self.network = network
        self.anchors = _anchor_centers()

    def detect(self, image: torch.Tensor, turn: float = 0.0) -> list[Detection]:
        """Faces in a picture [1,3,H,W] float 0..1, surest first.

        Args:
            image: the picture.
            turn: the picture is looked at with the head tilted by this angle in radians.
        """
        return self._refined(image, self._search(image, turn), turn)

    def _search(self, image: torch.Tensor, turn: float) -> list[Detection]:
        """Hits in the whole frame and, while faces are small or missing, in smaller windows."""
        height, width = image.shape[-2:]
        longest = max(height, width)
        found: list[Detection] = []
        for level in LEVELS:
            largest = max((hit.side for hit in found), default=0.0)
            if largest >= level.largest_face * longest or (turn and level.upright_only):
                continue
            side = level.side * longest
            # On a copy in which a window has the network's size, cutting one out costs nothing.
            reduction = max(1.0, side / INPUT_SIZE)
            copy = reduced(image, reduction)
            frames = _windows(copy, side / reduction, turn)
            found += [_scaled(hit, reduction) for hit in self._in_frames(copy, frames)]
        return found

    def _refined(
        self, image: torch.Tensor, hits: Sequence[Detection], turn: float
    ) -> list[Detection]:
        """Detects each hit again, zoomed in, and keeps one of each group that overlaps."""
        kept: list[Detection] = []
        for hit in sorted(hits, key=lambda hit: -hit.score):
            if any(_overlap(hit.box, other.box) > OVERLAP for other in kept):
                continue
            best = self._zoomed(image, hit, turn)
            if best and abs(_remainder(best.tilt - turn)) > LARGEST_TILT:
                best = self._zoomed(image, best, best.tilt) or best
            if best is None and hit.score > SURE:
                best = hit
            if best and all(_overlap(best.box, other.box) <= OVERLAP for other in kept):
                kept.append(best)
        return kept

    def _zoomed(self, image: torch.Tensor, hit: Detection, turn: float) -> Detection | None:
        """The hit as seen in a frame of its own; None where that shows no face."""
        x, y = hit.center
        size = (image.shape[-1], image.shape[-2])
        frame = Crop((float(x), float(y)), ZOOM * hit.side, size, turn)
        near = [
            new for new in self._in_frames(image, [frame]) if _distance(new, hit) < 0.6 * hit.side
        ]
        return min(near, key=lambda new: _distance(new, hit), default=None)

    def _in_frames(self, image: torch.Tensor, frames: Sequence[Crop]) -> list[Detection]:
        found: list[Detection] = []
        for start in range(0, len(frames), BATCH):
            part = frames[start : start + BATCH]
            size = (INPUT_SIZE, INPUT_SIZE)
            pictures = [
                resample(image, frame.matrix_to_source(INPUT_SIZE), size, padding="zeros")
                for frame in part
            ]
            boxes, scores = self.network((torch.cat(pictures) * 2 - 1).permute(0, 2, 3, 1))
            for frame, box, score in zip(part, boxes, scores, strict=True):
                values = torch.sigmoid(score[:, 0].clamp(-100, 100)).cpu().double().numpy()
                found += self._decoded(frame, box.cpu().double().numpy(), values)
        return found

    def _decoded(self, frame: Crop, raw: np.ndarray, scores: np.ndarray) -> list[Detection]:
        """Raw [896,16] (box centre, box size, six points; offsets in pixels) -> detections."""
        chosen = scores > THRESHOLD
        if not chosen.any():
            return []
        raw, scores, anchors = raw[chosen], scores[chosen], self.anchors[chosen]
        centers = raw[:, :2] + anchors
        boxes = np.concatenate([centers - raw[:, 2:4] / 2, centers + raw[:, 2:4] / 2], 1)
        keypoints = raw[:, 4:].reshape(-1, 6, 2) + anchors[:, None]
        merged = merge_overlapping(scores, boxes, keypoints)
        return [_in_source(frame, hit) for hit in merged]


def merge_overlapping(
    scores: np.ndarray, boxes: np.ndarray, keypoints: np.ndarray
) -> list[Detection]:
    """Weighted non-maximum suppression: boxes that overlap the best one are averaged by score.

    Args:
        scores: [N]. boxes: [N,4]. keypoints: [N,6,2].
    """
    order = np.argsort(-scores)
    merged = []
    while len(order):
        best = order[0]
        overlaps = np.array([_overlap(boxes[best], boxes[other]) for other in order])
        group = order[overlaps > OVERLAP]
        weights = scores[group] / scores[group].sum()
        box = (boxes[group] * weights[:, None]).sum(0)
        points = (keypoints[group] * weights[:, None, None]).sum(0)
        merged.append(Detection(float(scores[best]), box, points))
        order = order[overlaps <= OVERLAP]
    return merged


def _anchor_centers() -> np.ndarray:
    """[896,2] pixels: two anchors per cell of a 16 x 16 grid, then six of an 8 x 8 grid."""
    centers = []
    for cells, repeats in ((16, 2), (8, 6)):
        middles = (np.arange(cells) + 0.5) * INPUT_SIZE / cells
        columns, rows = np.meshgrid(middles, middles)
        grid = np.stack([columns.ravel(), rows.ravel()], 1)
        centers.append(np.repeat(grid, repeats, axis=0))
    return np.concatenate(centers)


def _windows(image: torch.Tensor, side: float, turn: float) -> list[Crop]:
    """Half overlapping squares that cover the picture."""
    height, width = image.shape[-2:]
    rows, columns = _centers(height, side), _centers(width, side)
    return [Crop((x, y), side, (width, height), turn) for y in rows for x in columns]


def _centers(length: int, side: float) -> list[float]:
    if length <= side:
        return [length / 2]
    count = math.ceil((length - side) / (side / 2)) + 1
    return [float(x) for x in np.linspace(side / 2, length - side / 2, count)]


def _scaled(hit: Detection, factor: float) -> Detection:
    return Detection(hit.score, hit.box * factor, hit.keypoints * factor)


def _in_source(frame: Crop, hit: Detection) -> Detection:
    """A hit in frame pixels as one in source pixels; the box keeps its size and stays upright."""
    center = frame.to_source(hit.center[None], INPUT_SIZE)[0]
    half = (hit.box[2:] - hit.box[:2]) / 2 * frame.side / INPUT_SIZE
    box = np.concatenate([center - half, center + half])
    return Detection(hit.score, box, frame.to_source(hit.keypoints, INPUT_SIZE))


def _remainder(angle: float) -> float:
    """The same angle within -pi..pi."""
    return math.remainder(angle, 2 * math.pi)


def _distance(first: Detection, second: Detection) -> float:
    return float(np.linalg.norm(first.center - second.center))


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = float(np.clip(high - low, 0, None).prod())
    areas = float((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod())
    return shared / (areas - shared)
