"""Colours and styles of a portrait: skin, eyes, hair, lips, clothes, glasses.

All colours are our own choices, given in sRGB and kept as linear RGB.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..head.traits import Traits
from ..numerics import Array, srgb_to_linear

HairStyle = Literal[
    "long", "bob", "bun", "short", "afro", "medium", "buzz", "bald", "receding", "cap"
]

SKIN_RAMP = np.array(
    [
        (0.955, 0.815, 0.740),
        (0.915, 0.735, 0.625),
        (0.835, 0.635, 0.500),
        (0.720, 0.510, 0.375),
        (0.560, 0.370, 0.255),
        (0.400, 0.250, 0.170),
        (0.270, 0.165, 0.115),
    ],
    np.float32,
)
"""Skin tones by melanin 0..6, sRGB."""
RACE_MELANIN = np.array([4.6, 1.6, 0.9])
HAIR_COLOURS = (
    (0.055, 0.045, 0.045),
    (0.10, 0.070, 0.055),
    (0.20, 0.125, 0.080),
    (0.30, 0.185, 0.105),
    (0.42, 0.23, 0.11),
    (0.55, 0.25, 0.10),
    (0.62, 0.47, 0.27),
    (0.78, 0.64, 0.42),
)
"""Black to blond, sRGB."""
GREY_HAIR_COLOURS = ((0.55, 0.54, 0.53), (0.80, 0.79, 0.77))
DYED_HAIR_COLOURS = ((0.6, 0.1, 0.3), (0.15, 0.3, 0.6), (0.35, 0.1, 0.5), (0.1, 0.45, 0.4))
EYE_COLOURS = (
    (0.16, 0.09, 0.05),
    (0.24, 0.13, 0.06),
    (0.33, 0.21, 0.10),
    (0.36, 0.33, 0.16),
    (0.26, 0.36, 0.24),
    (0.30, 0.42, 0.52),
    (0.22, 0.34, 0.52),
    (0.42, 0.46, 0.48),
)
"""Brown to grey, sRGB."""
LIPSTICKS = (
    (0.72, 0.18, 0.20),
    (0.62, 0.22, 0.28),
    (0.80, 0.40, 0.38),
    (0.50, 0.14, 0.20),
    (0.78, 0.42, 0.45),
)
LIGHT_SKIN_LIPS, DARK_SKIN_LIPS = (0.90, 0.72, 0.71), (0.96, 0.84, 0.84)
"""Lip colour relative to the skin tone."""
DARK_SKIN_MELANIN = 3.2
LIGHT_HAIR = 0.6
"""Hair with every channel above this keeps its colour in the brows."""


@dataclass(frozen=True)
class GlassesShape:
    """Lens height to width, exponent of the superellipse, thickness of the rim (0.9 mm units)."""

    aspect: float
    exponent: float
    thickness: float


@dataclass(frozen=True)
class Appearance:
    """Colours (linear RGB [3] float32) and styles that stay with an identity."""

    melanin: float
    """0 (lightest) to 6."""
    tone: Array
    hair: Array
    hair_style: HairStyle
    brow: Array
    lips: Array
    lip_gloss: float
    teeth: Array
    lash_opacity: float
    sclera: Array
    iris: Array
    iris_radius: float
    pupil_radius: float
    """As shares of the eyeball's radius."""
    gloss: float
    """Strength of the skin's highlight."""
    shininess: float
    """Its Blinn-Phong exponent."""
    fabrics: tuple[Array, Array, Array]
    """Ground colour of the garment, colour of a cap, second colour of the garment's pattern."""
    pattern: int
    """0 plain, 1 across, 2 upright, 3 checks."""
    pattern_frequency: float
    """Stripes, radians per metre before the pattern's own factor."""
    neckline: int
    """Index into the necklines of the clothes module."""
    glasses: GlassesShape | None
    glasses_colour: Array


def _darkened_index(rng: np.random.Generator, spread: float, light: bool) -> int:
    """Index 0..7 into a dark-to-light list; people who are not ``light`` get one of the first 3."""
    if light:
        return int(np.clip(abs(rng.normal() * spread), 0, 7.99))
    return int(rng.integers(0, 3))


def _sample_tone(traits: Traits, rng: np.random.Generator) -> tuple[float, Array]:
    """Melanin 0..6 and skin tone, sRGB."""
    melanin = float(np.clip(traits.race @ RACE_MELANIN + rng.normal() * 0.75, 0, 6))
    index = int(min(melanin, 5))
    share = melanin - index
    tone = SKIN_RAMP[index] * (1 - share) + SKIN_RAMP[index + 1] * share
    spread = np.array([0.02, 0.025, 0.05])
    return melanin, np.clip(tone * (1 + spread * rng.normal(size=3)), 0.05, 0.98)


def _sample_hair(traits: Traits, rng: np.random.Generator) -> Array:
    """Hair colour, sRGB: natural, greying with age, 5 % dyed."""
    caucasian = traits.race[2]
    index = _darkened_index(rng, 1.0 + 6 * caucasian**1.5, bool(caucasian > 0.3))
    hair = np.array(HAIR_COLOURS[index]) * rng.uniform(0.8, 1.25)
    if traits.old > 0.2 and rng.random() < 0.25 + 0.7 * traits.old:
        grey = min(1, traits.old + 0.2)
        lighter = np.array(GREY_HAIR_COLOURS[int(rng.random() < 0.5)])
        hair = hair * (1 - 0.9 * grey) + lighter * 0.9 * grey
    if rng.random() < 0.05:
        dye = np.array(DYED_HAIR_COLOURS[rng.integers(len(DYED_HAIR_COLOURS))])
        hair = np.clip(dye * rng.uniform(0.6, 1.2), 0, 1)
    return hair


def _sample_iris(traits: Traits, rng: np.random.Generator) -> Array:
    """Eye colour, sRGB."""
    caucasian = traits.race[2]
    index = _darkened_index(rng, 1 + 5 * caucasian, bool(caucasian > 0.35))
    return np.array(EYE_COLOURS[index])


def _sample_brow(hair: Array, rng: np.random.Generator) -> Array:
    """Brow colour, sRGB: darker than the hair."""
    if hair.min() > LIGHT_HAIR:
        return hair * 0.75
    return np.clip(hair * rng.uniform(0.5, 0.95) + 0.01, 0, 1)


def _sample_lips(
    traits: Traits, melanin: float, tone: Array, gloss: float, rng: np.random.Generator
) -> tuple[Array, float]:
    """Lip colour (sRGB) and gloss; half of the women wear lipstick."""
    if melanin < DARK_SKIN_MELANIN:
        lips = tone * (np.array(LIGHT_SKIN_LIPS) * rng.uniform(0.94, 1.04))
    else:
        lips = tone * np.array(DARK_SKIN_LIPS)
    if traits.female and not traits.child and rng.random() < 0.5:
        lipstick = np.array(LIPSTICKS[rng.integers(len(LIPSTICKS))]) * rng.uniform(0.75, 1.1)
        opacity = rng.uniform(0.3, 0.8)
        lips = lips * (1 - opacity) + lipstick * opacity
        gloss = rng.uniform(0.1, 0.45)
    return np.clip(lips, 0.04, 1), gloss


def _sample_hair_style(traits: Traits, rng: np.random.Generator) -> HairStyle:
    """Women and men have different shares; 5 % of all wear a cap."""
    number, african = rng.random(), traits.race[0]
    shares: tuple[tuple[float, HairStyle], ...]
    rest: HairStyle
    if traits.female:
        shares = ((0.45, "long"), (0.62, "bob"), (0.77, "bun"), (0.88, "short"))
        afro_below, rest = 0.94, "medium"
    else:
        shares = (
            (0.40, "short"),
            (0.57, "buzz"),
            (0.74, "medium"),
            (0.82, "bald"),
            (0.87, "long"),
        )
        afro_below, rest = 0.95, "receding"
    below = [style for limit, style in shares if number < limit]
    style = below[0] if below else "afro" if number < afro_below and african > 0.3 else rest
    return "cap" if rng.random() < 0.05 else style


def _sample_fabric(rng: np.random.Generator) -> Array:
    return srgb_to_linear(
        np.clip(rng.random(3) * rng.uniform(0.25, 1) + rng.uniform(0, 0.25), 0, 1)
    )


def _sample_glasses(child: bool, rng: np.random.Generator) -> tuple[GlassesShape | None, Array]:
    """Shape (None: no glasses) and colour; both are drawn always, so that nothing else shifts."""
    worn = rng.random() < (0.04 if child else 0.15)
    colour = np.array([0.03, 0.03, 0.035])
    if rng.random() < 0.6:
        colour = np.clip(rng.random(3) * rng.uniform(0.05, 0.5), 0, 1)
    shape = GlassesShape(rng.uniform(0.8, 1.2), rng.uniform(2.0, 5.0), rng.uniform(0.9, 1.6))
    return (shape if worn else None), srgb_to_linear(colour)


def sample_appearance(traits: Traits, rng: np.random.Generator) -> Appearance:
    """Random colours and styles. The order of the draws is part of what a seed means."""
    melanin, tone = _sample_tone(traits, rng)
    hair = _sample_hair(traits, rng)
    iris = _sample_iris(traits, rng)
    iris = np.clip(iris * rng.uniform(0.8, 1.3), 0, 1)
    pupil_radius = rng.uniform(0.14, 0.22)
    iris_radius = rng.uniform(0.385, 0.425)
    sclera = np.array([0.90, 0.87, 0.84]) * rng.uniform(0.9, 1.02)
    gloss = rng.uniform(0.05, 0.22)
    shininess = rng.uniform(12, 34)
    teeth = np.array([0.90, 0.86, 0.76]) * rng.uniform(0.88, 1.05)
    brow = _sample_brow(hair, rng)
    lash_opacity = rng.uniform(0.8, 1.0) if traits.female else rng.uniform(0.6, 0.85)
    lip_gloss = rng.uniform(0.05, 0.25)
    lips, lip_gloss = _sample_lips(traits, melanin, tone, lip_gloss, rng)
    hair_style = _sample_hair_style(traits, rng)
    fabrics = _sample_fabric(rng), _sample_fabric(rng), _sample_fabric(rng)
    pattern = int(rng.choice([0, 0, 0, 1, 2, 3]))
    neckline = int(rng.integers(0, 4))
    pattern_frequency = rng.uniform(60, 200)
    glasses, glasses_colour = _sample_glasses(traits.child, rng)
    return Appearance(
        melanin=melanin,
        tone=srgb_to_linear(tone),
        hair=srgb_to_linear(np.clip(hair, 0, 1)),
        hair_style=hair_style,
        brow=srgb_to_linear(brow),
        lips=srgb_to_linear(lips),
        lip_gloss=lip_gloss,
        teeth=srgb_to_linear(teeth),
        lash_opacity=lash_opacity,
        sclera=srgb_to_linear(sclera),
        iris=srgb_to_linear(iris),
        iris_radius=iris_radius,
        pupil_radius=pupil_radius,
        gloss=gloss,
        shininess=shininess,
        fabrics=fabrics,
        pattern=pattern,
        pattern_frequency=pattern_frequency,
        neckline=neckline,
        glasses=glasses,
        glasses_colour=glasses_colour,
    )
