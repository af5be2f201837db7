"""Eyebrows and beards, painted on the face chart (millimetres on the template)."""

from __future__ import annotations

import numpy as np

from ..head.canonical import CHART_SIZE, Chart, chart_row
from ..head.curves import Point, polyline_distance, smooth_curve
from ..head.head_model import HeadModel
from ..head.noise import SkinNoise
from ..head.traits import Traits
from ..numerics import Array, smoothstep

BROW_TOP, BROW_BOTTOM = 0.768, 0.730
"""Template heights (m) between which brows are painted."""
STROKES_ALONG, STROKES_ACROSS = 95, 0.55
"""Hair strokes of a brow: phase over its length, and per mm of height."""
BEARD_KINDS = ("none", "stubble", "beard", "moustache", "goatee")
BEARD_SHARES = (0.38, 0.28, 0.16, 0.08, 0.10)
CHEEK_LINE_X = (0, 24, 30, 45, 60, 72)
CHEEK_LINE_Z = (646, 652, 664, 676, 695, 722)
"""|x| (mm) -> upper edge (mm) of a full beard."""
MOUSTACHE_HEIGHT = 675.5


def _brow_curve(rng: np.random.Generator) -> list[Point]:
    """The line of a brow from its inner end outwards (mm)."""
    inner, shift = rng.uniform(9, 14), rng.uniform(-2.5, 1.5)
    arch, tail = rng.uniform(-1.5, 3.5), rng.uniform(46, 54)
    outline = [
        (inner, 745.5 + shift),
        (inner + 10, 747.5 + shift + arch * 0.4),
        (35, 749.5 + shift + arch),
        (tail, 744.5 + shift + rng.uniform(-2, 1.5)),
    ]
    return smooth_curve(outline, 5)


def paint_brows(
    albedo: Array, model: HeadModel, traits: Traits, colour: Array, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Albedo [S, S, 3] with brows, and their opacity [S, S]."""
    thickness = rng.uniform(1.3, 2.9) if traits.female else rng.uniform(2.2, 4.0)
    thickness *= 0.8 if traits.child else 1
    density = rng.uniform(0.55, 1.0) * (0.7 if traits.child else 1)
    curve = _brow_curve(rng)
    rows = slice(chart_row(BROW_TOP), chart_row(BROW_BOTTOM))
    z = model.chart.z[rows]
    distance, along = polyline_distance(np.abs(model.chart.x[rows]), z, curve)
    taper = 0.75 + 0.5 * smoothstep(0, 0.15, along) - 0.95 * smoothstep(0.45, 1, along)
    half_width = np.maximum(thickness * taper, 0.35)
    warp = 1.3 * model.noise.draw(rng, "warp")[rows]
    strokes = np.sin((along * STROKES_ALONG + (z - 745) * STROKES_ACROSS + warp) * 2.2)
    strokes = strokes * 0.5 + model.noise.draw(rng, "fine")[rows] * 0.5
    opacity = (
        smoothstep(1.15, 0.55, distance / half_width + 0.22 * strokes)
        * smoothstep(0, 0.06, along + 0.03)
        * density
        * (1 - 0.25 * np.clip(strokes, -1, 1))
    )
    brow = np.zeros((CHART_SIZE, CHART_SIZE), np.float32)
    brow[rows] = np.clip(opacity, 0, 1)
    return albedo * (1 - brow[..., None]) + colour * brow[..., None], brow


def _beard_regions(chart: Chart, noise: SkinNoise) -> dict[str, Array]:
    """Weight 0..1 [S, S] of each kind of beard."""
    x, z = np.abs(chart.x), chart.z
    cheek_line = np.interp(x, CHEEK_LINE_X, CHEEK_LINE_Z) + 3 * noise.mid
    full = smoothstep(2, -6, z - cheek_line)
    moustache = smoothstep(1, -2, np.abs(z - MOUSTACHE_HEIGHT) - 4.5 + x * 0.06)
    moustache = moustache * smoothstep(31, 23, x)
    chin = smoothstep(2, -4, z - 646) * smoothstep(26, 18, x)
    beside_mouth = smoothstep(33, 28, x) * smoothstep(19, 23, x) * smoothstep(678, 672, z)
    goatee = chin + beside_mouth * (z < 676)
    return {
        "none": 0 * full,
        "stubble": np.maximum(full, moustache),
        "beard": np.maximum(full, moustache),
        "moustache": moustache,
        "goatee": np.maximum(moustache, goatee),
    }


def _sample_density(kind: str, rng: np.random.Generator) -> float:
    """Opacity of the kind; all are drawn, so that later draws do not depend on the kind."""
    density = {
        "none": 0.0,
        "stubble": rng.uniform(0.15, 0.45),
        "beard": rng.uniform(0.75, 0.95),
        "moustache": rng.uniform(0.6, 0.95),
        "goatee": rng.uniform(0.6, 0.95),
    }
    return density[kind]


def paint_beard(
    albedo: Array,
    chart: Chart,
    traits: Traits,
    brow_colour: Array,
    noise: SkinNoise,
    stroke: Array,
    rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Albedo [S, S, 3] with the beard of a grown man, and its opacity [S, S]."""
    if traits.female or traits.child:
        return albedo, np.zeros((CHART_SIZE, CHART_SIZE), np.float32)
    kind = str(rng.choice(BEARD_KINDS, p=BEARD_SHARES))
    region = _beard_regions(chart, noise)[kind] * _sample_density(kind, rng)
    texture = 1 + 0.22 * stroke + 0.15 * noise.fine + 0.12 * noise.mid
    beard = np.clip(region * texture, 0, 1).astype(np.float32)
    beard = beard * smoothstep(604, 622, chart.z + 4 * noise.mid)
    colour = brow_colour * rng.uniform(0.8, 1.2)
    return albedo * (1 - beard[..., None]) + colour * beard[..., None], beard
