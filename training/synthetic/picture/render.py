"""Draw one frame of one identity, with its labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..frame import Frame
from ..head.head_model import HeadModel
from ..head.regions import FaceClass
from ..looks.identity import Identity
from ..numerics import Array, linear_to_srgb
from ..raster import NOTHING, Backend, barycentric_at_pixels, rasterize
from .backdrop import paint_backdrop
from .camera import aim_camera
from .labels import face_mask, five_points, jaw_contour
from .lighting import ShadowMap, shade
from .material import Material
from .part_materials import paint_eyes, paint_garment, paint_glasses, paint_hair, paint_mouth_parts
from .pose import PosedMesh, pose_mesh
from .skin_material import paint_skin_points
from .surface import SUPERSAMPLING, Coverage, Surface, find_surface

BACKDROP_BRIGHTNESS = 0.9
NOISE_LEVEL = 0.008
"""Standard deviation of the sensor noise (picture range 0..1)."""
LASH_DEPTH_MARGIN = 0.0012
"""Distance (m) behind the skin up to which lashes still show."""
LASH_ALBEDO = 0.012
LOWER_LASHES = 0.7275
"""Template z (m) below which lashes belong to the lower lid."""
LASH_CLASS_OPACITY = 0.3


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture and its labels. Pixel coordinates have pixel centres at integer + 0.5."""

    image: Array
    """[size, size, 3] uint8 sRGB."""
    au: Array
    """[12] intensities 0..5, float32."""
    pose: Array
    """[3] yaw, pitch, roll in degrees, float32."""
    jaw: Array
    """[17, 2] jaw contour, float32, image left to right for a frontal face."""
    points5: Array
    """[5, 2] eyes, nose tip, mouth corners, float32, image left before right."""
    classes: Array
    """[size, size] uint8 `FaceClass`."""
    face_mask: Array
    """[size, size] bool: skin, brows, eyes, lips, mouth, lashes."""

    @property
    def edit_mask(self) -> Array:
        """[size, size] bool: what an edit may repaint, the face with glasses on it."""
        mask: Array = self.face_mask | (self.classes == FaceClass.GLASSES)
        return mask


@dataclass(frozen=True)
class _Canvas:
    """Samples on the fine grid of S = size * SUPERSAMPLING."""

    screen: Tensor
    """[n, 3] projected vertices."""
    depth: Tensor
    """[S, S]."""
    light: Tensor
    """[S * S, 3] linear RGB; lashes are blended into it."""
    classes: Tensor
    """[S * S]."""


def _paint_materials(
    surface: Surface, model: HeadModel, identity: Identity, frame: Frame, posed: PosedMesh
) -> Material:
    material = Material.plain(surface)
    up = posed.head_rotation[:, 2]
    collar = paint_skin_points(material, surface, model, identity, frame, up)
    paint_eyes(material, surface, model, identity, posed)
    paint_mouth_parts(material, surface, identity.appearance)
    paint_hair(material, surface, model, identity, up)
    paint_garment(material, surface, identity, collar)
    paint_glasses(material, surface, identity.appearance)
    return material


def _backdrop_samples(seed: int, size: int) -> Tensor:
    """Backdrop [S * S, 3] enlarged to sample resolution."""
    backdrop = torch.from_numpy(paint_backdrop(seed, size)) * BACKDROP_BRIGHTNESS
    enlarged = F.interpolate(
        backdrop.permute(2, 0, 1)[None],
        scale_factor=SUPERSAMPLING,
        mode="bilinear",
        align_corners=False,
    )
    return enlarged[0].permute(1, 2, 0).reshape(-1, 3).clone()


def _draw_lashes(canvas: _Canvas, model: HeadModel, opacity: float, backend: Backend) -> None:
    """Blend lashes over the canvas where they are not hidden, thinner towards their tips."""
    samples_across = len(canvas.depth)
    triangles = model.lash_triangles
    ids, depth = rasterize(canvas.screen, triangles, samples_across, backend=backend)
    shown = (ids != NOTHING) & (depth < canvas.depth + LASH_DEPTH_MARGIN)
    samples = torch.nonzero(shown.view(-1)).squeeze(1)
    corners = triangles[ids.view(-1)[samples].long()]
    weights = barycentric_at_pixels(canvas.screen, corners, samples, samples_across)
    height = (model.template[corners] * weights[..., None]).sum(1)[:, 2]
    along = (model.lash_position[corners] * weights).sum(1)
    alpha = opacity * (1.35 - 1.1 * along).clamp(0, 1)
    alpha = alpha * torch.where(height < LOWER_LASHES, 0.4, 1.0)
    light = canvas.light[samples]
    canvas.light[samples] = light * (1 - alpha[:, None]) + LASH_ALBEDO * alpha[:, None]
    canvas.classes[samples[alpha > LASH_CLASS_OPACITY]] = FaceClass.LASH


def _develop(light: Tensor, size: int, exposure: float, noise_seed: int) -> Array:
    """Samples [S * S, 3] to a picture [size, size, 3] uint8: average, film curve, sRGB, noise."""
    samples = size * SUPERSAMPLING
    picture = light.view(samples, samples, 3).permute(2, 0, 1)[None] * exposure
    picture = F.avg_pool2d(picture, SUPERSAMPLING)[0].clamp_min(0)
    picture = picture * (1 + picture / 6.0) / (1 + picture * 0.45)
    picture = linear_to_srgb(picture)
    generator = torch.Generator().manual_seed(noise_seed)
    noise = torch.randn(picture.shape, generator=generator) * NOISE_LEVEL
    picture = (picture + noise).clamp(0, 1)
    return (picture * 255 + 0.5).byte().permute(1, 2, 0).numpy()


def _draw(
    model: HeadModel,
    identity: Identity,
    frame: Frame,
    posed: PosedMesh,
    size: int,
    backend: Backend,
) -> tuple[_Canvas, Array]:
    """Draw everything on the fine grid; also returns the five landmark points."""
    camera = aim_camera(model, identity, frame, posed)
    mesh = identity.mesh
    samples_across = size * SUPERSAMPLING
    screen = camera.project(posed.vertices, samples_across)
    ids, depth = rasterize(screen, mesh.triangles, samples_across, mesh.two_sided, backend)
    coverage = Coverage.find(ids, depth, mesh.part)
    surface = find_surface(identity, posed, camera, screen, ids, coverage, backend)
    material = _paint_materials(surface, model, identity, frame, posed)
    shadow = ShadowMap.cast(
        posed.vertices, mesh.triangles, camera.target, frame.light, size, backend
    )
    light = _backdrop_samples(frame.backdrop_seed, size)
    light[coverage.samples] = shade(surface, material, frame.light, shadow)
    classes = torch.full((samples_across**2,), FaceClass.BACKGROUND, dtype=torch.long)
    classes[coverage.samples] = material.classes
    canvas = _Canvas(screen, depth, coverage.spread(light), coverage.spread(classes))
    _draw_lashes(canvas, model, identity.appearance.lash_opacity, backend)
    return canvas, five_points(model, posed, camera, size)


def render(
    model: HeadModel,
    identity: Identity,
    frame: Frame,
    size: int = 128,
    backend: Backend = "auto",
) -> Rendering:
    """Picture and labels of size x size pixels; the same bytes every time for one backend.

    The backends (numba, or torch where it is missing) agree up to rare differences of rounding.
    """
    posed = pose_mesh(model, identity, frame)
    canvas, points5 = _draw(model, identity, frame, posed, size, backend)
    samples_across = size * SUPERSAMPLING
    middle = SUPERSAMPLING // 2
    sample_classes = canvas.classes.view(samples_across, samples_across)
    classes = sample_classes[middle::SUPERSAMPLING, middle::SUPERSAMPLING].byte().numpy()
    return Rendering(
        image=_develop(canvas.light, size, frame.light.exposure, frame.noise_seed),
        au=frame.au,
        pose=frame.pose,
        jaw=(jaw_contour(model, posed, canvas.screen) / SUPERSAMPLING).astype(np.float32),
        points5=points5,
        classes=classes,
        face_mask=face_mask(classes),
    )
