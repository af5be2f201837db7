"""The background + pose picture: the crop with a region blacked out and 17 coloured jaw dots.

The published checkpoint sees where the face is, and nothing of it, through this picture.

Deviations from the published script: the jaw points come from the face mesh instead of a fit of the
Basel Face Model, and the region, unless the user has installed BiSeNet's weights, which may not
ship here, from the person segmenter or the mesh. Drawing and composition follow the script pixel
for pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..errors import FaceTooSmallError, ImageError, NoFaceError
from ..perception.regions import Region, classes_of
from ..pictures.affine import apply_affine, least_squares_similarity
from ..pictures.crop import Crop
from ..pictures.masks import grow_mask
from ..pictures.resampling import WORKING_SIZE, require_square, sized, warp_affine_fixed_point
from .choosing import of_frame
from .connected_masks import ConnectedMask
from .framing import Framing, find_face

if TYPE_CHECKING:
    from ..perception import Face, Perception
    from .crops import FaceCrops


CANVAS = 256
# Eyes, nose tip, mouth corners (image-left first) on the canvas of the published landmark network:
# the 96 x 112 face template, 8 pixels wider, doubled.
CANVAS_POINTS5 = np.array(
    [
        [92.5892, 103.3926],
        [163.0636, 103.0028],
        [128.0504, 143.4732],
        [99.0986, 184.7310],
        [157.4598, 184.4082],
    ]
)
# Matplotlib's "rainbow" at i/69, truncated to 8 bits, red and blue swapped as the script draws it.
DOT_COLORS: tuple[tuple[int, int, int], ...] = (
    (255, 0, 127),
    (254, 9, 121),
    (254, 21, 113),
    (254, 34, 105),
    (254, 43, 99),
    (253, 56, 91),
    (252, 68, 83),
    (251, 77, 77),
    (250, 89, 69),
    (249, 100, 61),
    (248, 112, 53),
    (247, 120, 47),
    (245, 131, 39),
    (243, 142, 31),
    (242, 149, 25),
    (240, 159, 17),
    (238, 169, 9),
)
DOT_RADIUS = 2
_REACH = np.arange(-DOT_RADIUS, DOT_RADIUS + 1)
_SQUARE = np.stack(np.meshgrid(_REACH, _REACH), 2).reshape(-1, 2)
DOT = _SQUARE[(_SQUARE**2).sum(1) <= DOT_RADIUS**2]  # offsets (x, y) of a dot's pixels
PERSON_THRESHOLD = 0.5


@dataclass(frozen=True)
class BackgroundPose:
    """What the denoiser is shown of the scene.

    Attributes:
        picture: [1,3,S,S] float 0..1.
        mask: [1,1,S,S] float, 1 where the picture was blacked out.
        parser: backend that found the region; None where nobody was asked.
        jaw: backend that placed the dots; None where there are none or they were given.
    """

    picture: torch.Tensor
    mask: torch.Tensor
    parser: str | None = None
    jaw: str | None = None


def jaw_dots(jaw: np.ndarray, points5: np.ndarray, size: int = 512) -> np.ndarray:
    """The dots as published, to be added to a picture.

    Each point is rounded on a 256 canvas and drawn as a filled circle of radius 2, the canvas is
    then warped onto the crop, so a dot becomes a soft diamond.

    Args:
        jaw: [17,2], image-left ear, chin, image-right ear, in pixels of the crop (integer centres).
        points5: [5,2], eyes, nose tip, mouth corners, in the same pixels.
        size: side of the crop.

    Returns:
        [size,size,3] float32 0..1, black beside the dots.
    """
    if np.shape(jaw) != (17, 2) or np.shape(points5) != (5, 2):
        raise ImageError(
            f"Need jaw [17,2], points [5,2], not {np.shape(jaw)}, {np.shape(points5)}."
        )
    to_canvas = least_squares_similarity(np.asarray(points5), CANVAS_POINTS5)
    places = np.rint(apply_affine(to_canvas, jaw)).astype(int)
    canvas = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    for place, color in zip(places, DOT_COLORS, strict=True):
        dot = DOT + place
        column, row = dot[((dot >= 0) & (dot < CANVAS)).all(1)].T
        canvas[row, column] = color
    return warp_affine_fixed_point(canvas, to_canvas, size).astype(np.float32) / 255


def compose(crop: torch.Tensor, mask: torch.Tensor, dots: np.ndarray) -> torch.Tensor:
    """Crop [1,3,S,S], black where mask [1,1,S,S] is above 0.5, plus dots [S,S,3], clipped."""
    kept = torch.where(mask > 0.5, torch.zeros_like(crop), crop)
    added = torch.from_numpy(dots).to(crop).permute(2, 0, 1)[None]
    return (kept + added).clamp(0, 1)


def background_pose(
    crop: torch.Tensor, face: Face, region: Region, perception: Perception
) -> BackgroundPose:
    """The background + pose picture of a crop.

    Args:
        crop: [1,3,S,S] float 0..1; S is 512 as published.
        face: the face in pixels of the crop (`Face.mapped`).
        region: "face" keeps hair, ears, neck and clothes; "person" keeps the background only.
        perception: finds the region.

    Raises:
        ImageError: the region is unknown or the crop is not square.
    """
    mask = region_mask(crop, face, region, perception)
    return dotted_background(crop, face, mask, perception, perception.parser.backend)


def region_mask(
    crop: torch.Tensor, face: Face, region: Region, perception: Perception
) -> torch.Tensor:
    """What to black out of a crop [1,3,S,S]: [1,1,S,S] float, 0 or 1; see `background_pose`."""
    classes_of(region)
    size = crop.shape[-1]
    if crop.shape[-2] != size:
        raise ImageError(f"The crop must be square, not {size}x{crop.shape[-2]}.")
    if region == "person":
        mask = (perception.person_mask(crop) > PERSON_THRESHOLD).float()
    else:
        mask = perception.face_mask(crop, face)
    return mask.to(crop.device)


def dotted_background(
    crop: torch.Tensor,
    face: Face,
    mask: torch.Tensor,
    perception: Perception,
    parser: str | None = None,
) -> BackgroundPose:
    """The crop [1,3,S,S] without a region [1,1,S,S], with the dots of its face.

    `parser` says which backend found the region.
    """
    points = perception.jaw_points(crop, face)
    # The script's pixel centres are whole numbers, the mesh's are at one half.
    dots = jaw_dots(points.jaw - 0.5, points.points5 - 0.5, crop.shape[-1])
    return BackgroundPose(compose(crop, mask, dots), mask, parser, perception.jaw.backend)


def framed_background(
    crop: Tensor, face: Face, framing: Framing, perception: Perception
) -> BackgroundPose:
    """The background + pose picture of a crop [1,3,S,S], its mask grown as the framing asks.

    face is in crop pixels.
    """
    size = crop.shape[-1]
    plain = region_mask(crop, face, framing.region, perception)
    mask = grow_mask(
        plain, _down(face), framing.mask_dilation * size, framing.chin_extension * size
    )
    return dotted_background(crop, face, mask, perception, perception.parser.backend)


def _down(face: Face) -> tuple[float, float]:
    """Unit vector (x, y) from the middle of the eyes to the middle of the mouth."""
    points = face.points5
    x, y = points[3:5].mean(0) - points[0:2].mean(0)
    length = math.hypot(x, y)
    return (float(x / length), float(y / length)) if length else (0.0, 1.0)


def background_frames(
    pictures: Tensor,
    perception: Perception,
    crops: FaceCrops | None = None,
    region: Region | None = None,
    mask: Tensor | None = None,
) -> BackgroundPose:
    """The background + pose pictures of many crops.

    Args:
        pictures: [B,3,S,S] float 0..1, the crops; of any size, drawn at 512.
        perception: finds the region, and without `crops` the faces.
        crops: where the faces are and how they are framed, as `cropping.crop_faces` returns it.
            Without it the largest face of each picture is taken, framed as published.
        region: what to blacken, instead of what the framing says.
        mask: [B or 1,1,h,w], what to blacken (above 0.5) instead of a region: in the crop at any
            resolution, or of the size of the picture that the crops were cut from.

    Returns:
        picture [B,3,512,512] and mask [B,1,512,512]. Frames without a face keep their picture, with
        an empty mask.

    Raises:
        ImageError: pictures that are not square, numbers that do not fit, or an empty mask.
        NoFaceError, FaceTooSmallError: without `crops`, from a picture.
    """
    count = len(pictures)
    require_square("face", pictures)
    if crops is not None and len(crops) != count:
        raise ImageError(
            f"{count} face pictures and crops of {len(crops)} frames do not go together: connect "
            "both from the same Face Crop."
        )
    framing = Framing() if crops is None else crops.framing
    framing = framing if region is None else replace(framing, region=region)
    source_size = None if crops is None else crops.source_size
    given = None if mask is None else ConnectedMask(mask, count, source_size, WORKING_SIZE)
    squares: Mapping[int, Crop | None] = (
        dict.fromkeys(range(count)) if crops is None else crops.squares(count)
    )
    if given is not None:
        given.check_touches(squares, above=0.5)
    drawn = []
    for number, picture in enumerate(sized(pictures, WORKING_SIZE).split(1)):
        face = _face(perception, picture, crops, number, count)
        own = None if given is None else given.in_crop(number, squares.get(number)) > 0.5
        drawn.append(_background(picture, face, framing, perception, own))
    return BackgroundPose(
        torch.cat([pose.picture for pose in drawn]),
        torch.cat([pose.mask for pose in drawn]),
        next((pose.parser for pose in drawn if pose.parser), None),
        next((pose.jaw for pose in drawn if pose.jaw), None),
    )


def _background(
    picture: Tensor,
    face: Face | None,
    framing: Framing,
    perception: Perception,
    mask: Tensor | None,
) -> BackgroundPose:
    """The background of one crop; without a face the crop itself under an empty mask."""
    if face is None:
        return BackgroundPose(picture, torch.zeros_like(picture[:, :1]))
    if mask is None:
        return framed_background(picture, face, framing, perception)
    return dotted_background(picture, face, mask.to(picture), perception)


def _face(
    perception: Perception, picture: Tensor, crops: FaceCrops | None, number: int, count: int
) -> Face | None:
    """The face of picture `number` [1,3,512,512]: as cropped, or else the largest found."""
    if crops is not None:
        entry = crops.frames[number]
        return None if entry is None else entry.face
    try:
        return find_face(perception, picture)[0]
    except (NoFaceError, FaceTooSmallError) as error:
        raise type(error)(of_frame(error, number, count)) from error
