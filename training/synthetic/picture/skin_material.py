"""Skin, lips, ears, mouth cavity and eye sockets of the shaded points."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..frame import MAX_INTENSITY, Frame
from ..head.canonical import CHART_ANGLE, CHART_BOTTOM, CHART_SIZE, CHART_TOP, chart_coordinates
from ..head.head_model import HeadModel
from ..head.landmarks import Landmarks
from ..head.regions import FaceClass, Part
from ..looks.appearance import Appearance
from ..looks.clothes import NECKLINES
from ..looks.identity import Identity
from ..numerics import blend, piecewise_linear, smoothstep_torch, unit_rows
from .material import Material
from .surface import Surface

TEXEL_WIDTH = 2 * CHART_ANGLE / CHART_SIZE * 85.0
"""Width (mm) of a chart texel on a head of 85 mm radius."""
TEXEL_HEIGHT = (CHART_TOP - CHART_BOTTOM) / CHART_SIZE * 1000
"""Height (mm) of a chart texel."""
STEEPEST = 0.8
"""Largest slope of the relief."""
WEAKEST_WRINKLE = 0.01
"""Action units below this share of full intensity draw no wrinkles."""

ROOT_ANGLE = (0, 0.35, 0.7, 0.92, 1.05, 1.2, 1.38, 1.6, 1.9, 2.3, 3.15)
ROOT_HEIGHT = (0.802, 0.803, 0.799, 0.778, 0.748, 0.706, 0.702, 0.735, 0.70, 0.66, 0.645)
"""|theta| (radians) -> template z (m) above which hair roots show through the skin."""
ROOT_OPACITY = {"buzz": 0.75, "bald": 0.12, "receding": 0.45, "short": 0.8}

EAR_TINT = (0.02, -0.12, -0.10)
MOUTH_COLOUR = (0.32, 0.055, 0.055)
SOCKET_TINT = (0.62, 0.36, 0.34)
FURROW_TINT = (0.385, 0.55, 0.55)
"""Darkening per mm below the skin, per colour."""
RIDGE_TINT = 0.19
"""Lightening per mm above the skin."""
SCATTERING = (0.38, 0.16, 0.10)
"""Wrap of the lightest skin, per colour."""

FACE_ANGLE = 1.30
"""Skin beyond this |theta| (radians) is not part of the face."""
FACE_TOP = 0.806
"""Template z (m) of the hairline."""
COLLAR_MARGIN = 0.0005


@dataclass(frozen=True)
class _Skin:
    """Skin points: indices, where they lie, and how much of each region they show (b points)."""

    points: Tensor
    template: Tensor
    angle: Tensor
    off_chart: Tensor
    lips: Tensor
    mouth: Tensor
    socket: Tensor
    mottle: Tensor
    """[b] fine variation, about -1..1."""

    @property
    def height(self) -> Tensor:
        return self.template[:, 2]


@dataclass(frozen=True)
class _ChartSample:
    """Textures of the chart at the skin points."""

    albedo: Tensor
    brow: Tensor
    beard: Tensor
    gloss: Tensor
    relief: Tensor
    slope_x: Tensor
    slope_y: Tensor


def _find_skin(surface: Surface) -> _Skin:
    points = torch.nonzero(surface.part == Part.BODY).squeeze(1)
    template, angle = surface.template[points], surface.angle[points]
    first = torch.sin(template @ torch.tensor([300.0, 170, 230]))
    second = torch.sin(template @ torch.tensor([-190.0, 330, 150]))
    mouth = surface.mouth_inside[points]
    lips = smoothstep_torch(0.30, 0.75, surface.lip[points]) * (1 - mouth).clamp(0, 1)
    return _Skin(
        points=points,
        template=template,
        angle=angle,
        off_chart=(angle.abs() > CHART_ANGLE) | (template[:, 2] < CHART_BOTTOM),
        lips=lips,
        mouth=smoothstep_torch(0.35, 0.65, mouth),
        socket=smoothstep_torch(0.4, 0.6, surface.eye_cavity[points]),
        mottle=first * second,
    )


def relief_map(model: HeadModel, identity: Identity, frame: Frame) -> Tensor:
    """Skin height (mm) [S, S]: the resting relief plus the wrinkles of the expression."""
    intensity = torch.from_numpy(frame.au / MAX_INTENSITY)
    active = torch.nonzero(intensity > WEAKEST_WRINKLE).squeeze(1)
    relief = identity.skin.relief
    if len(active) == 0:
        return relief
    depth = intensity[active] * (0.75 + 0.5 * identity.traits.age)
    return relief + torch.einsum("k,khw->hw", depth, model.wrinkles.action_units[active])


def _sample_chart(identity: Identity, relief: Tensor, skin: _Skin) -> _ChartSample:
    """Bilinear lookup of all textures and of the slopes of the relief (mm per texel)."""
    slope_x, slope_y = torch.zeros_like(relief), torch.zeros_like(relief)
    slope_x[:, 1:-1] = (relief[:, 2:] - relief[:, :-2]) * 0.5
    slope_y[1:-1] = (relief[2:] - relief[:-2]) * 0.5
    paint = identity.skin
    layers = torch.stack([paint.brow, paint.beard, paint.gloss, relief, slope_x, slope_y])
    textures = torch.cat([paint.albedo, layers])[None]
    grid = chart_coordinates(skin.angle, skin.height)[None, None]
    values = F.grid_sample(textures, grid, padding_mode="border", align_corners=False)[0, :, 0].T
    brow, beard, gloss, height, across, along = values[:, 3:].unbind(1)
    brow = torch.where(skin.off_chart, 0 * brow, brow)
    return _ChartSample(values[:, :3], brow, beard, gloss, height, across, along)


def _colour(appearance: Appearance, surface: Surface, skin: _Skin, sample: _ChartSample) -> Tensor:
    """Albedo [b, 3] of the skin points."""
    tone = torch.from_numpy(appearance.tone) * (1 + 0.03 * skin.mottle)[:, None]
    albedo = torch.where(skin.off_chart[:, None], tone, sample.albedo)
    ear = surface.ear[skin.points]
    redness = torch.tensor(EAR_TINT) * (1 - appearance.melanin / 8)
    albedo = albedo * torch.exp(ear[:, None] * redness)
    lips = torch.from_numpy(appearance.lips) * (1 + 0.08 * skin.mottle)[:, None]
    albedo = blend(albedo, lips, skin.lips[:, None])
    albedo = blend(albedo, torch.tensor(MOUTH_COLOUR), skin.mouth[:, None])
    albedo = blend(albedo, albedo * torch.tensor(SOCKET_TINT), skin.socket[:, None])
    albedo = _show_hair_roots(albedo, appearance, ear, skin)
    relief = sample.relief.clamp(-2, 0.6)[:, None]
    shade = torch.where(relief < 0, relief * torch.tensor(FURROW_TINT), relief * RIDGE_TINT)
    return albedo * torch.exp(shade)


def _show_hair_roots(albedo: Tensor, appearance: Appearance, ear: Tensor, skin: _Skin) -> Tensor:
    """The shadow of cropped hair on the scalp."""
    if appearance.hair_style not in ROOT_OPACITY:
        return albedo
    angle, height = torch.tensor(ROOT_ANGLE), torch.tensor(ROOT_HEIGHT)
    hairline = piecewise_linear(skin.angle.abs(), angle, height)
    above = skin.height - hairline + 0.002 * skin.mottle
    opacity = smoothstep_torch(0, 0.012, above) * (1 - ear).clamp(0, 1)
    opacity = opacity * ROOT_OPACITY[appearance.hair_style]
    return blend(albedo, torch.from_numpy(appearance.hair), opacity[:, None])


def _bump(normal: Tensor, up: Tensor, skin: _Skin, sample: _ChartSample) -> Tensor:
    """Normals [b, 3] tilted by the relief; lips, mouth and skin off the chart stay smooth."""
    tangent = unit_rows(torch.linalg.cross(up.expand_as(normal), normal))
    bitangent = torch.linalg.cross(normal, tangent)
    share = (1 - skin.lips) * (1 - skin.mouth) * (~skin.off_chart).float()
    across = (sample.slope_x / TEXEL_WIDTH * share).clamp(-STEEPEST, STEEPEST)
    along = (-sample.slope_y / TEXEL_HEIGHT * share).clamp(-STEEPEST, STEEPEST)
    return unit_rows(normal - across[:, None] * tangent - along[:, None] * bitangent)


def _classify(landmarks: Landmarks, surface: Surface, skin: _Skin, sample: _ChartSample) -> Tensor:
    """Classes [b]: skin ends at the jaw line, the hairline and in front of the ears."""
    angle, height = skin.angle.abs(), skin.height
    jaw = piecewise_linear(angle, landmarks.profile_angle, landmarks.profile_height)
    below_chin = (surface.template_normal_z[skin.points] < -0.62) & (height < 0.64)
    face = (height > jaw - 0.001) & (angle < FACE_ANGLE) & (height < FACE_TOP) & ~below_chin
    classes = torch.full((len(skin.points),), FaceClass.NECK, dtype=torch.long)
    classes[face] = FaceClass.SKIN
    classes[surface.ear[skin.points] > 0.5] = FaceClass.EAR
    classes[sample.brow > 0.35] = FaceClass.BROW
    classes[skin.lips > 0.5] = FaceClass.LIP
    classes[skin.mouth > 0.5] = FaceClass.MOUTH
    classes[skin.socket > 0.5] = FaceClass.EYE
    return classes


def _under_collar(neckline: int, skin: _Skin) -> Tensor:
    """Indices of skin points that the garment covers where its shell is too thin to."""
    angle, height = (torch.tensor(values, dtype=torch.float32) for values in NECKLINES[neckline])
    below = piecewise_linear(skin.angle.abs(), angle, height) - skin.height
    return skin.points[below > -COLLAR_MARGIN]


def paint_skin_points(
    material: Material,
    surface: Surface,
    model: HeadModel,
    identity: Identity,
    frame: Frame,
    up: Tensor,
) -> Tensor:
    """Fill in all skin points; ``up`` [3] is the head's. Returns those under the collar."""
    appearance = identity.appearance
    skin = _find_skin(surface)
    sample = _sample_chart(identity, relief_map(model, identity, frame), skin)
    points, lips, mouth = skin.points, skin.lips, skin.mouth
    material.albedo[points] = _colour(appearance, surface, skin, sample)
    material.normal[points] = _bump(surface.normal[points], up, skin, sample)
    hairless = (1 - sample.brow) * (1 - 0.6 * sample.beard)
    highlight = appearance.gloss * sample.gloss.clamp(0.3, 1.8) * hairless
    material.specular[points] = highlight + appearance.lip_gloss * lips + 0.3 * mouth
    material.shininess[points] = appearance.shininess + 25 * lips + 30 * mouth
    lightness = max(0.25, 1 - appearance.melanin / 7)
    material.wrap[points] = torch.tensor(SCATTERING) * lightness + 0.05
    material.classes[points] = _classify(model.landmarks, surface, skin, sample)
    collar = _under_collar(appearance.neckline, skin)
    material.occlusion[collar] = material.occlusion[collar] * 0.9
    return collar
