"""Skin of one identity, painted on the face chart: tone, blush, marks, make-up and relief."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..head.canonical import CHART_SIZE, Chart, chart_row
from ..head.head_model import HeadModel
from ..head.noise import SkinNoise
from ..head.traits import Traits
from ..numerics import Array, srgb_to_linear
from .appearance import Appearance
from .facial_hair import paint_beard, paint_brows

MARK_REACH = 5
"""Texels around its centre that a freckle or mole may colour."""
FRECKLE_TINT = np.array([0.45, 0.8, 1.0])
MOLE_TINT = np.array([0.7, 0.9, 1.0])
AGE_SPOT_TINT = np.array([0.5, 0.8, 1.0])
"""How strongly a mark darkens red, green and blue."""
BLUSH_TINT = np.array([0.04, -0.16, -0.14])
UNDER_EYE_TINT = np.array([0.7, 1.0, 0.85])
LID_TINT = np.array([0.8, 1.0, 1.0])


@dataclass(frozen=True)
class SkinPaint:
    """Chart textures of one identity, S = CHART_SIZE."""

    albedo: Tensor
    """[3, S, S] linear RGB."""
    brow: Tensor
    beard: Tensor
    """[S, S] opacity 0..1 of hair."""
    gloss: Tensor
    """[S, S] local factor on the highlight, about 1."""
    relief: Tensor
    """[S, S] height (mm) of pores, stubble and lines that show at rest."""


def _spot(chart: Chart, x: float, z: float, spread_x: float, spread_z: float) -> Array:
    """Gaussian weight [S, S] around (x, z) mm on both sides of the face."""
    across = ((np.abs(chart.x) - x) / spread_x) ** 2
    weight: Array = np.exp(-across - ((chart.z - z) / spread_z) ** 2)
    return weight


def _base_tone(tone: Array, noise: SkinNoise, rng: np.random.Generator) -> Array:
    """Mottled skin [S, S, 3]."""
    albedo = np.ones((CHART_SIZE, CHART_SIZE, 3), np.float32) * tone
    blotches = rng.uniform(0.03, 0.09) * noise.low
    patches = rng.uniform(0.03, 0.08) * noise.mid
    grain = rng.uniform(0.02, 0.06) * noise.fine
    albedo *= (1 + blotches + patches + grain)[..., None]
    return albedo


def _shade_regions(
    albedo: Array,
    chart: Chart,
    noise: SkinNoise,
    melanin: float,
    old: float,
    rng: np.random.Generator,
) -> None:
    """Blush, rings under the eyes, darker lids, a lighter forehead; in place."""
    redness = (
        1.1 * _spot(chart, 37, 700, 15, 12)
        + 0.7 * _spot(chart, 0, 691, 10, 8)
        + 0.35 * _spot(chart, 0, 634, 12, 9)
        + 0.3 * _spot(chart, 0, 668, 28, 14)
    )
    redness = rng.uniform(0.3, 1.2) * redness * (1 + 0.4 * noise.mid)
    albedo *= np.exp(redness[..., None] * (BLUSH_TINT * (1 - 0.6 * (melanin / 6))))
    rings = rng.uniform(0.05, 0.35) + 0.25 * old
    albedo *= np.exp(-rings * _spot(chart, 32, 718, 13, 6)[..., None] * UNDER_EYE_TINT)
    lids = rng.uniform(0.05, 0.22)
    albedo *= np.exp(-lids * _spot(chart, 33, 737, 16, 5)[..., None] * LID_TINT)
    contrast = _spot(chart, 0, 775, 45, 20) - 0.5 * _spot(chart, 52, 660, 14, 30)
    albedo *= 1 + rng.uniform(0, 0.08) * contrast[..., None]


def _paint_marks(
    albedo: Array,
    chart: Chart,
    x: Array,
    z: Array,
    radius: Array,
    amount: Array,
    tint: Array,
) -> None:
    """Darken round marks in place: centres and radii in mm; those off the chart are left out."""
    for x_mark, z_mark, r, strength in zip(x, z, radius, amount, strict=True):
        row = chart_row(z_mark / 1000)
        if not MARK_REACH <= row <= CHART_SIZE - MARK_REACH:
            continue
        column = int(np.argmin(np.abs(chart.x[row] - x_mark)))
        window = (
            slice(row - MARK_REACH, row + MARK_REACH + 1),
            slice(max(0, column - MARK_REACH), min(CHART_SIZE, column + MARK_REACH + 1)),
        )
        squared = (chart.x[window] - x_mark) ** 2 + (chart.z[window] - z_mark) ** 2
        fading = np.exp(-strength * np.exp(-squared / (r * r)))
        albedo[window] *= fading[..., None] ** tint


def _paint_freckles_and_moles(
    albedo: Array, chart: Chart, melanin: float, old: float, rng: np.random.Generator
) -> None:
    """Freckles on half of the lightest faces, up to five moles, age spots; in place."""
    if rng.random() < (0.5 if melanin < 2 else 0.15):
        n = int(rng.uniform(40, 260))
        x, z = rng.normal(0, 30, n), 706 + rng.normal(0, 14, n)
        radius, amount = rng.uniform(0.5, 1.1, n), rng.uniform(0.15, 0.45, n)
        _paint_marks(albedo, chart, x, z, radius, amount, FRECKLE_TINT)
    n = int(rng.integers(0, 6))
    x, z = rng.uniform(-55, 55, n), rng.uniform(625, 790, n)
    radius, amount = rng.uniform(0.7, 1.5, n), rng.uniform(0.5, 1.1, n)
    _paint_marks(albedo, chart, x, z, radius, amount, MOLE_TINT)
    if old > 0.15:
        n = int(60 * old)
        x, z = rng.uniform(-70, 70, n), rng.uniform(650, 830, n)
        radius, amount = rng.uniform(1.0, 2.6, n), rng.uniform(0.06, 0.25, n) * old
        _paint_marks(albedo, chart, x, z, radius, amount, AGE_SPOT_TINT)


def _paint_eye_shadow(
    albedo: Array, chart: Chart, traits: Traits, rng: np.random.Generator
) -> Array:
    """Coloured lids on 40 % of the women."""
    if not traits.female or traits.child or rng.random() >= 0.4:
        return albedo
    colour = srgb_to_linear(np.clip(rng.random(3) * 0.6, 0, 1))
    opacity = rng.uniform(0.15, 0.6) * np.clip(_spot(chart, 34, 737, 15, 4.5), 0, 1)[..., None]
    return albedo * (1 - opacity) + colour * opacity


def _relief(
    model: HeadModel,
    traits: Traits,
    noise: SkinNoise,
    stubble: Array,
    rng: np.random.Generator,
) -> Tensor:
    """Height (mm) [S, S] of pores, stubble and the lines of age."""
    pores = 0.10 * noise.fine * rng.uniform(0.3, 1.0)
    bumps = 0.08 * noise.mid * rng.uniform(0.2, 1)
    relief = pores + bumps + stubble
    lines = float(traits.old + 0.12 * (not traits.child))
    return torch.from_numpy(relief.astype(np.float32)) + model.wrinkles.age * lines


def paint_skin(
    model: HeadModel, traits: Traits, appearance: Appearance, rng: np.random.Generator
) -> SkinPaint:
    """Random skin for these traits. The order of the draws is part of what a seed means."""
    chart, bank = model.chart, model.noise
    low, mid, fine = bank.draw(rng, "low"), bank.draw(rng, "mid"), bank.draw(rng, "fine")
    noise = SkinNoise(low, mid, fine)
    albedo = _base_tone(appearance.tone, noise, rng)
    _shade_regions(albedo, chart, noise, appearance.melanin, traits.old, rng)
    _paint_freckles_and_moles(albedo, chart, appearance.melanin, traits.old, rng)
    albedo = _paint_eye_shadow(albedo, chart, traits, rng)
    albedo, brow = paint_brows(albedo, model, traits, appearance.brow, rng)
    stroke = bank.draw(rng, "stroke")
    albedo, beard = paint_beard(albedo, chart, traits, appearance.brow, noise, stroke, rng)
    relief = _relief(model, traits, noise, beard * 0.35 * stroke, rng)
    colours = np.clip(albedo, 0.004, 0.95).transpose(2, 0, 1).astype(np.float32)
    return SkinPaint(
        albedo=torch.from_numpy(np.ascontiguousarray(colours)),
        brow=torch.from_numpy(brow),
        beard=torch.from_numpy(beard),
        gloss=torch.from_numpy((1 + 0.5 * mid).astype(np.float32)),
        relief=relief,
    )
