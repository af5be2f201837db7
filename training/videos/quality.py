"""What makes a face unfit for training, measured on the frame and on its crop.

All measures are shares, degrees or grey levels of the crop, so that limits mean the same for videos
of every size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from magicface_core.framing.boxes import area, box_of, shared_area
from magicface_core.perception import Face
from magicface_core.perception.head_pose import head_pose
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.resampling import reduce_to

from .records import SMALLEST_PICTURE, VideoSettings

LUMA = (0.299, 0.587, 0.114)
SMALLEST_OTHER = 0.3  # of the face's width; smaller faces in its crop do not matter
LARGEST_INSIDE = 0.3  # share of another face's box that the crop may show

SKIN_SIZE = 128  # side in pixels at which skin is compared
UNLIKE = 4.0  # robust deviations from which a pixel is not this face's skin
SPREAD = (6.0, 12.0)  # grey levels that skin varies by, least and most
LUMA_WEIGHT = 0.35  # brightness counts less than colour: a face has light and shadow
# Vertices clockwise round the face from the top of the forehead.
OVAL: tuple[int, ...] = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
# Outlines of what is no skin: eyes with their brows, mouth.
FEATURES: tuple[tuple[int, ...], ...] = (
    (70, 63, 105, 66, 107, 55, 193, 245, 112, 232, 230, 228, 31, 35, 156),
    (300, 293, 334, 296, 336, 285, 417, 465, 341, 452, 450, 448, 261, 265, 383),
    (61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
)
# Cheeks and the bridge of the nose: skin that is seldom covered.
SKIN: tuple[tuple[int, ...], ...] = (
    (50, 101, 205, 187),
    (280, 330, 425, 411),
    (168, 122, 196, 3, 195, 248, 419, 351),
)


@dataclass(frozen=True)
class Measures:
    """What the gates look at, of one face.

    pose       yaw, pitch, roll in degrees, as `head_pose`
    sharpness  as `sharpness`, at the video's own resolution and at most the crop's
    occlusion  as `occlusion`
    outside    share of the crop, 0..1, that lies outside the frame
    """

    pose: tuple[float, float, float]
    sharpness: float
    occlusion: float
    outside: float = 0.0


def unfit_in_frame(
    face: Face, faces: Sequence[Face], crop: Crop, settings: VideoSettings
) -> str | None:
    """Why a face needs no crop, one of REASONS; None where it may be fit.

    Args:
        face: in pixels of the frame.
        faces: all faces of the frame, this one among them.
        crop: the face's square.
        settings: the limits.
    """
    if face.width < settings.minimum_face:
        return "face too small"
    if abs(head_pose(face.mesh).yaw) > settings.maximum_yaw:
        return "turned away"
    if any(_in_the_way(other, face, crop) for other in faces if other is not face):
        return "several faces"
    if outside_share(crop) > settings.maximum_outside:
        return "cut off"
    return None


def unfit_in_crop(measures: Measures, settings: VideoSettings) -> str | None:
    """Why a cropped face is unfit, one of REASONS; None where it is fit."""
    if measures.sharpness < settings.minimum_sharpness:
        return "blurred"
    if measures.occlusion > settings.maximum_occlusion:
        return "occluded"
    return None


def measure(pixels: Tensor, face: Face, crop: Crop) -> Measures:
    """Measures of a face in a crop.

    A face that the crop enlarges is judged as sharp as the video shows it: size has a limit of its
    own.

    Args:
        pixels: [1,3,512,512] float 0..1, the crop.
        face: in pixels of the crop.
        crop: in the frame.
    """
    size = pixels.shape[-1]
    pose = head_pose(face.mesh)
    turned = (pose.yaw, pose.pitch, pose.roll)
    own = max(SMALLEST_PICTURE, min(size, round(crop.side)))
    as_shown = face.mapped(Crop((size / 2, size / 2), size, (size, size)), own)
    return Measures(
        turned,
        sharpness(reduce_to(pixels, own), as_shown),
        occlusion(pixels, face, inside_frame(crop)),
        outside_share(crop),
    )


def outside_share(crop: Crop) -> float:
    """Share of a crop, 0..1, that lies outside the frame."""
    return 1 - float(inside_frame(crop).float().mean())


def sharpness(crop: Tensor, face: Face) -> float:
    """Variance of the Laplacian of the face's grey levels (0..255) in a crop [1,3,S,S].

    A face enlarged to the crop, out of focus or moving has little of it.
    """
    x1, y1, x2, y2 = _bounds(face, crop.shape[-1])
    red, green, blue = (255 * crop[:, :, y1:y2, x1:x2]).unbind(1)
    grey = (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue)[:, None]
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]], device=crop.device)
    return float(F.conv2d(grey, kernel[None, None]).double().var(unbiased=False))


def occlusion(crop: Tensor, face: Face, inside: Tensor) -> float:
    """Share of the face, 0..1, that cannot be seen in a crop [1,3,S,S].

    The mesh's oval without eyes, brows and mouth counts; of it what lies outside the frame
    (`inside` [1,1,s,s] bool), and what is not of this face's own skin colour: hands, microphones,
    hair, masks. Beards and hard shadows count too, so the limit must leave room for them.
    """
    size = crop.shape[-1]
    scale = SKIN_SIZE / size
    small = F.interpolate(255 * crop, (SKIN_SIZE, SKIN_SIZE), mode="area")[0]
    points = face.mesh[:, :2] * scale
    skin = _polygon(points, OVAL)
    for feature in FEATURES:
        skin &= ~_polygon(points, feature)
    if not skin.any():
        return 1.0
    visible = F.interpolate(inside.float(), (SKIN_SIZE, SKIN_SIZE), mode="area")[0, 0] > 0.5
    samples = np.logical_or.reduce([_polygon(points, part) for part in SKIN])
    colours = _skin_axes(small.cpu().numpy())
    alike = _alike(colours, samples & visible.cpu().numpy())
    seen = skin & visible.cpu().numpy() & alike
    return float(1 - seen.sum() / skin.sum())


def inside_frame(crop: Crop, size: int = SKIN_SIZE) -> Tensor:
    """[1,1,size,size] bool: pixels of a crop whose centre lies inside the frame."""
    places = np.stack(np.meshgrid(np.arange(size), np.arange(size)), -1).reshape(-1, 2) + 0.5
    points = crop.to_source(places, size)
    within = ((points >= 0) & (points <= crop.source_size)).all(1)
    return torch.from_numpy(within.reshape(1, 1, size, size))


def _in_the_way(other: Face, face: Face, crop: Crop) -> bool:
    """Whether the crop of a face shows a good part of another one that is not much smaller."""
    if other.width < SMALLEST_OTHER * face.width:
        return False
    half = crop.side / 2
    square = np.array([*np.subtract(crop.center, half), *np.add(crop.center, half)])
    box = box_of(other)
    return shared_area(box, square) > LARGEST_INSIDE * area(box)


def _bounds(face: Face, size: int) -> tuple[int, int, int, int]:
    """The mesh's box in whole pixels inside a crop, at least 3 wide and high."""
    x1, y1, x2, y2 = (round(float(value)) for value in box_of(face))
    x1, y1 = (min(max(value, 0), size - 3) for value in (x1, y1))
    return x1, y1, min(max(x2, x1 + 3), size), min(max(y2, y1 + 3), size)


def _polygon(points: np.ndarray, vertices: Sequence[int]) -> np.ndarray:
    """[SKIN_SIZE,SKIN_SIZE] bool, inside a polygon of vertices [.,2]."""
    canvas = Image.new("1", (SKIN_SIZE, SKIN_SIZE))
    outline = [(float(x) - 0.5, float(y) - 0.5) for x, y in points[list(vertices)]]
    ImageDraw.Draw(canvas).polygon(outline, fill=1)
    return np.array(canvas)


def _skin_axes(picture: np.ndarray) -> np.ndarray:
    """[3,S,S] RGB 0..255 -> [3,S,S] weighted brightness and two differences of colour."""
    red, green, blue = picture
    luma = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return np.stack([LUMA_WEIGHT * luma, 0.713 * (red - luma), 0.564 * (blue - luma)])


def _alike(colours: np.ndarray, samples: np.ndarray) -> np.ndarray:
    """[S,S] bool: pixels coloured as the samples' median is, within their spread."""
    if not samples.any():
        return np.zeros(samples.shape, bool)
    chosen = colours[:, samples]
    median = np.median(chosen, 1)
    spread = (1.48 * np.median(np.abs(chosen - median[:, None]), 1)).clip(*SPREAD)
    deviations = (colours - median[:, None, None]) / spread[:, None, None]
    alike: np.ndarray = np.square(deviations).sum(0) < UNLIKE**2
    return alike
