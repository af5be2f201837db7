"""Masks of the person and of the face.

The person mask is MediaPipe's selfie segmenter (Apache-2.0, converted). The face mask stands in for
the
classes skin, brows, eyes, nose, mouth and lips of a face parser whose weights may not ship: the
    oval of the mesh, grown over the forehead to the hairline by colour, less the hair that hangs
    over its rim.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from ..pictures.crop import Crop
from ..pictures.resampling import gaussian_blur, resample
from .faces import EMBEDDED, Face
from .graph import Graph
from .morphology import close_mask, connected_to, dilate, erode, fill_holes, open_mask

SEGMENTER_SIZE = 256
PERSON_THRESHOLD = 0.5
LARGEST_DIRECT = 768  # larger pictures are masked in a crop around the face
LOCAL_SIZE = 512
LOCAL_SIDE = 2.4  # of the mesh's width

# Vertices clockwise round the face from the top of the forehead.
OVAL: tuple[int, ...] = (
    *(10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377),
    *(152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109),
)
# Round brows, cheeks and chin: certainly face.
CORE: tuple[int, ...] = (
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 446, 261, 340, 352, 411, 427, 434, 430, 431),
    *(262, 428, 199, 208, 32, 211, 210, 214, 207, 187, 123, 111, 31, 226),
)
FOREHEAD: tuple[int, ...] = (9, 108, 69, 67, 109, 10, 338, 297, 299, 337)
# Cheeks and nose bridge: skin that hair seldom covers.
SKIN: tuple[tuple[int, ...], ...] = (
    (50, 101, 205, 187),
    (280, 330, 425, 411),
    (168, 122, 196, 3, 195, 248, 419, 351),
)
# How much of the forehead's possible height each upper oval vertex can rise.
RISE: dict[int, float] = {
    **{10: 1.0, 338: 0.97, 109: 0.97, 297: 0.9, 67: 0.9, 332: 0.75, 103: 0.75},
    **{284: 0.5, 54: 0.5, 251: 0.2, 21: 0.2},
}
FOREHEAD_HEIGHT = 0.24  # of the face's height, above the mesh
FOREHEAD_SPREAD = 0.12
SKIN_DISTANCE = 3.4  # in robust deviations of the face's own skin colour
HAIR_DISTANCE = 6.0
LUMA_WEIGHT = 0.6  # brightness counts less than colour: a face has light and shadow


class MaskParser:
    """`FaceParser` over the converted network `selfie` and the mesh."""

    backend = EMBEDDED

    def __init__(self, network: Graph) -> None:
        self.network = network

    def person_mask(self, image: torch.Tensor) -> torch.Tensor:
        """Picture [1,3,H,W] float 0..1 -> how surely each pixel is a person, [1,1,H,W] 0..1."""
        square = F.interpolate(image, (SEGMENTER_SIZE,) * 2, mode="bilinear", antialias=True)
        (belief,) = self.network(square.permute(0, 2, 3, 1))
        size = (image.shape[-2], image.shape[-1])
        return F.interpolate(belief.permute(0, 3, 1, 2), size, mode="bilinear").clamp(0, 1)

    def face_mask(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        """Picture [1,3,H,W] float 0..1 and a face in its pixels -> [1,1,H,W] float, 0 or 1."""
        height, width = image.shape[-2:]
        if max(height, width) <= LARGEST_DIRECT:
            person = self.person_mask(image) > PERSON_THRESHOLD
            return face_region(image, face.mesh, person).float()
        middle = face.mesh[:, :2].min(0) / 2 + face.mesh[:, :2].max(0) / 2
        center = (float(middle[0]), float(middle[1]))
        crop = Crop(center, LOCAL_SIDE * face.width, (width, height))
        local = crop.extract(image, LOCAL_SIZE)
        mask = self.face_mask(local, face.mapped(crop, LOCAL_SIZE))
        return placed_mask(mask, crop)


def face_region(image: torch.Tensor, mesh: np.ndarray, person: torch.Tensor) -> torch.Tensor:
    """The face as the authors' current script means it: skin, brows, eyes, nose, mouth and lips.

    Ears, neck, hair and clothes stay out. Weak points: a fringe of nearly the skin's colour is
    taken for forehead; under strong side light the dark half of the forehead is left out.

    Args:
        image: [1,3,H,W] float 0..1.
        mesh: [478,3] in its pixels.
        person: [1,1,H,W] bool.

    Returns:
        [1,1,H,W] bool, one connected part without holes.
    """
    size = (image.shape[-2], image.shape[-1])

    def polygon(vertices: Sequence[int]) -> torch.Tensor:
        return polygon_mask(mesh[list(vertices), :2], size).to(image.device)

    up = mesh[10, :2] - mesh[152, :2]
    length = float(np.linalg.norm(up))
    oval, core = polygon(OVAL), polygon(CORE)
    samples = (polygon(SKIN[0]) | polygon(SKIN[1]) | polygon(SKIN[2])) & oval
    distance = skin_distance(image, samples, polygon(FOREHEAD) & oval)
    forehead = polygon_mask(_raised_oval(mesh), size).to(image.device) & ~oval
    region = oval | (forehead & (distance < SKIN_DISTANCE) & person)
    region |= dilate(oval, max(1, round(0.012 * length))) & person
    rim = oval & ~core & ~erode(oval, max(2, round(0.06 * length)))
    # Below the mouth a dark rim is the jaw's shadow, not hair.
    hair = rim & _above(mesh, (61, 291), size).to(image.device) & (distance > HAIR_DISTANCE)
    fringe = oval & ~core & _above(mesh, (70, 300), size).to(image.device)
    hair |= fringe & (distance > SKIN_DISTANCE)
    region &= ~hair
    region = connected_to(core, open_mask(region, 2) | core)
    return fill_holes(close_mask(region, max(2, round(0.02 * length))))


def polygon_mask(points: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Pixels [1,1,H,W] more than half inside a polygon of continuous points [N,2]."""
    height, width = size
    canvas = Image.new("L", (2 * width, 2 * height))
    outline = [(2 * float(x) - 0.5, 2 * float(y) - 0.5) for x, y in points]
    ImageDraw.Draw(canvas).polygon(outline, fill=255)
    covered = np.asarray(canvas.resize((width, height), Image.Resampling.BOX)) > 127
    return torch.from_numpy(covered)[None, None]


def _raised_oval(mesh: np.ndarray) -> np.ndarray:
    """[36,2]: the oval with its upper part lifted to where the hairline can be at most."""
    oval = mesh[list(OVAL), :2].copy()
    up = mesh[10, :2] - mesh[152, :2]
    across = mesh[454, :2] - mesh[234, :2]
    middle = mesh[[234, 454], :2].mean(0)
    for place, vertex in enumerate(OVAL):
        if vertex in RISE:
            side = (oval[place] - middle) @ across / (across @ across)
            oval[place] += up * FOREHEAD_HEIGHT * RISE[vertex] + side * across * FOREHEAD_SPREAD
    return oval


def skin_distance(
    image: torch.Tensor, samples: torch.Tensor, forehead: torch.Tensor
) -> torch.Tensor:
    """[1,1,H,W]: how many robust deviations each pixel's colour is from the face's own skin.

    The forehead joins the samples where it looks like them, so that its own light counts too.
    """
    red, green, blue = (255 * image).unbind(1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    color = torch.stack([LUMA_WEIGHT * luma, 0.713 * (red - luma), 0.564 * (blue - luma)], 1)
    if not samples.any():
        return torch.zeros_like(color[:, :1])
    smooth = gaussian_blur(color, 1.5)
    skin = _deviations(smooth, color[0][:, samples[0, 0]])
    alike = forehead & (skin < SKIN_DISTANCE)
    if not alike.any() or 2 * alike.sum() < forehead.sum():
        return skin
    return torch.minimum(skin, _deviations(smooth, color[0][:, alike[0, 0]]))


def _deviations(color: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Distance of [1,3,H,W] from the median of samples [3,N], in their median deviations."""
    median = samples.median(1).values
    spread = 1.48 * (samples - median[:, None]).abs().median(1).values + 4
    deviations = (color - median[:, None, None]) / spread[:, None, None]
    return deviations.square().sum(1, keepdim=True).sqrt()


def _above(mesh: np.ndarray, vertices: tuple[int, int], size: tuple[int, int]) -> torch.Tensor:
    """[1,1,H,W] bool: pixels on the forehead's side of the middle of two vertices."""
    up, middle = mesh[10, :2] - mesh[152, :2], mesh[list(vertices), :2].mean(0)
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    above = (columns - middle[0]) * up[0] + (rows - middle[1]) * up[1] > 0
    return torch.from_numpy(above)[None, None]


def placed_mask(mask: torch.Tensor, crop: Crop) -> torch.Tensor:
    """A mask [1,1,S,S] of a crop as a mask of the whole picture; touches the crop's pixels only."""
    width, height = crop.source_size
    half = crop.side / 2 * (abs(math.cos(crop.angle)) + abs(math.sin(crop.angle)))
    left, top = (max(0, int(center - half)) for center in crop.center)
    right = min(width, int(crop.center[0] + half) + 1)
    bottom = min(height, int(crop.center[1] + half) + 1)
    whole = mask.new_zeros((1, 1, height, width))
    if left < right and top < bottom:
        matrix = crop.matrix_to_crop(mask.shape[-1])
        matrix[:, 2] += matrix[:, :2] @ np.array([left, top])
        local = resample(mask, matrix, (bottom - top, right - left), padding="zeros")
        whole[..., top:bottom, left:right] = (local > 0.5).float()
    return whole
