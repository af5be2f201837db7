"""Random expressions, scenes, edit sets and pairs. The order of draws defines what a seed means."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from magicface_core.aus import AU_ORDER

from .frame import MAX_INTENSITY, Frame, Light
from .numerics import Array

EMOTIONS: dict[str, dict[int, float]] = {
    "happy": {6: 3, 12: 4, 25: 2.5},
    "sad": {1: 3.5, 4: 2, 15: 3.5, 17: 2},
    "surprise": {1: 4, 2: 4, 5: 3.5, 25: 3, 26: 3.5},
    "anger": {4: 4, 5: 2, 17: 2.5, 9: 1.5},
    "disgust": {9: 4, 4: 2, 15: 2, 17: 2, 6: 1.5},
    "fear": {1: 4, 2: 2.5, 4: 2.5, 5: 4, 20: 3.5, 25: 3, 26: 1.5},
}
"""Units that go together in basic emotions, with typical intensities of our choice."""
NEUTRAL_SHARE, SINGLE_SHARE, EMOTION_SHARE = 0.15, 0.20, 0.35
"""Shares of expressions; the rest are random mixtures of two to four units."""
UNIT_KEPT = 0.85
"""Chance of each unit of an emotion to take part."""
ANTAGONISTS = (12, 15)
"""Lip corners are not pulled up and down at once."""
PARTING_SHARE = 0.5
"""A jaw dropped (AU26) by x parts the lips (AU25) by at least this share of x."""

PAIR_POSE, SCENE_POSE = 25.0, 22.0
"""Largest yaw in degrees; pitch reaches 0.75 and roll 0.7 of it."""
SCENE_ZOOM = (1.06, 1.28)
SMALLEST_CHANGE = 1.0
"""The two frames of a pair differ by at least this intensity in some unit."""
EDIT_SET_STREAM = 31
"""First word of the random stream of edit sets."""


def _slot(number: int) -> int:
    return AU_ORDER.index(number)


def _neutral() -> Array:
    return np.zeros(len(AU_ORDER), np.float32)


def _sample_emotion(rng: np.random.Generator) -> Array:
    au = _neutral()
    emotion = list(EMOTIONS)[rng.integers(len(EMOTIONS))]
    for number, intensity in EMOTIONS[emotion].items():
        if rng.random() < UNIT_KEPT:
            jittered = intensity * rng.uniform(0.3, 1.3) + rng.normal() * 0.4
            au[_slot(number)] = np.clip(jittered, 0, MAX_INTENSITY)
    return au


def _sample_mixture(rng: np.random.Generator) -> Array:
    au = _neutral()
    for slot in rng.choice(len(AU_ORDER), rng.integers(2, 5), replace=False):
        au[slot] = rng.uniform(0.5, MAX_INTENSITY)
    return au


def _make_possible(au: Array, rng: np.random.Generator) -> Array:
    """Drop one of two antagonists and part the lips of a dropped jaw, in place."""
    up, down = (_slot(number) for number in ANTAGONISTS)
    if au[up] > 1 and au[down] > 1:
        au[[up, down][rng.integers(2)]] = 0
    if au[_slot(26)] > 0:
        au[_slot(25)] = max(au[_slot(25)], np.float32(PARTING_SHARE * au[_slot(26)]))
    return au


def sample_single(rng: np.random.Generator, weakest: float = 1.0) -> Array:
    """Intensities [12] with one unit between ``weakest`` and 5."""
    au = _neutral()
    intensity = rng.uniform(weakest, MAX_INTENSITY)
    au[rng.integers(len(AU_ORDER))] = intensity
    return au


def sample_expression(rng: np.random.Generator) -> Array:
    """Intensities [12] float32, 0..5: neutral, one unit, an emotion or a mixture."""
    kind = rng.random()
    if kind < NEUTRAL_SHARE:
        au = _neutral()
    elif kind < NEUTRAL_SHARE + SINGLE_SHARE:
        au = sample_single(rng, weakest=0.5)
    elif kind < NEUTRAL_SHARE + SINGLE_SHARE + EMOTION_SHARE:
        au = _sample_emotion(rng)
    else:
        au = _sample_mixture(rng)
    return _make_possible(au, rng)


def sample_expression_set(rng: np.random.Generator, k: int) -> list[Array]:
    """k intensities [12]: mostly neutral first, two single units, then random expressions."""
    first = _neutral() if rng.random() < 0.8 else sample_expression(rng)
    expressions = [first, sample_single(rng), sample_single(rng)]
    while len(expressions) < k:
        expressions.append(sample_expression(rng))
    return expressions[:k]


def sample_light(rng: np.random.Generator) -> Light:
    """Key light from the front half, fill light from elsewhere, warm or cold."""
    azimuth, elevation = rng.uniform(-75, 75), rng.uniform(-5, 60)
    warmth = rng.uniform(-1, 1)
    key_tint = np.array([1 + 0.10 * warmth, 1, 1 - 0.16 * warmth], np.float32)
    sky_tint = np.array([1 - 0.05 * warmth, 1, 1 + 0.08 * warmth])
    fill_azimuth = azimuth + rng.uniform(90, 240)
    fill_tint = np.clip(rng.normal(0, 0.12, 3) + 1, 0.6, 1.4)
    ambient = rng.uniform(0.18, 0.5)
    key = rng.uniform(0.75, 1.25) * (1.25 - ambient)
    fill_elevation = rng.uniform(0, 50)
    fill = rng.uniform(0.05, 0.45) * fill_tint
    sky = ambient * sky_tint * rng.uniform(0.9, 1.1)
    ground = ambient * rng.uniform(0.25, 0.8) * np.clip(1 + 0.15 * rng.normal(size=3), 0.5, 1.5)
    return Light(
        key_azimuth=azimuth,
        key_elevation=elevation,
        key_colour=(key * key_tint).astype(np.float32),
        fill_azimuth=fill_azimuth,
        fill_elevation=fill_elevation,
        fill_colour=fill.astype(np.float32),
        sky=sky.astype(np.float32),
        ground=ground.astype(np.float32),
        exposure=rng.uniform(0.85, 1.2),
        shadow_softness=rng.uniform(0.6, 1.0),
    )


def _truncated_normal(rng: np.random.Generator, limit: float) -> float:
    """Normal with standard deviation limit / 2, clipped at the limit."""
    return float(np.clip(rng.normal() * limit * 0.5, -limit, limit))


def _sample_pose(rng: np.random.Generator, limit: float) -> Array:
    """Yaw, pitch, roll [3] in degrees; 40 % of the yaws are spread evenly."""
    even_yaw = rng.random() >= 0.6
    yaw = rng.uniform(-limit, limit) if even_yaw else _truncated_normal(rng, limit)
    pitch, roll = _truncated_normal(rng, limit * 0.75), _truncated_normal(rng, limit * 0.7)
    return np.array([yaw, pitch, roll], np.float32)


def sample_frame(
    rng: np.random.Generator, au: Array | None = None, pose: float = PAIR_POSE
) -> Frame:
    """A random frame with yaw up to ``pose`` degrees, with intensities ``au`` or random ones."""
    return Frame(
        au=sample_expression(rng) if au is None else np.asarray(au, np.float32),
        pose=_sample_pose(rng, pose),
        noise_seed=int(rng.integers(1 << 31)),
        asymmetry=(1 + 0.06 * rng.normal(size=(len(AU_ORDER), 2))).astype(np.float32),
        gaze=(_truncated_normal(rng, 14), _truncated_normal(rng, 8)),
        body_yaw=_truncated_normal(rng, 20),
        field_of_view=rng.uniform(12, 32),
        zoom=rng.uniform(0.88, 1.14),
        shift=(rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03)),
        light=sample_light(rng),
        backdrop_seed=int(rng.integers(1 << 31)),
    )


def sample_scene(
    rng: np.random.Generator,
    pose: float = SCENE_POSE,
    zoom: tuple[float, float] = SCENE_ZOOM,
) -> Frame:
    """A neutral frame, closer than that of a pair: zoom within ``zoom``, yaw up to ``pose``."""
    frame = sample_frame(rng, au=_neutral(), pose=pose)
    return replace(frame, zoom=rng.uniform(*zoom))


def sample_edit_set(
    rng: np.random.Generator, scenes: int, k: int, pose: float = SCENE_POSE
) -> list[list[Frame]]:
    """``scenes`` rows of ``k`` frames of one identity.

    Within a row the expression alone differs, so each ordered pair is an exact edit: what an edit
    leaves alone, grain included, is a copy.
    Asymmetry and gaze are those of the first scene throughout.
    """
    rows: list[list[Frame]] = []
    for _ in range(scenes):
        scene = sample_scene(rng, pose)
        if rows:
            first = rows[0][0]
            scene = replace(scene, asymmetry=first.asymmetry, gaze=first.gaze)
        rows.append([replace(scene, au=au) for au in sample_expression_set(rng, k)])
    return rows


def edit_set_rng(seed: int) -> np.random.Generator:
    """The random stream that belongs to an identity's seed: one seed, one edit set."""
    return np.random.default_rng([EDIT_SET_STREAM, seed])


def sample_pair(
    rng: np.random.Generator, pose: float = PAIR_POSE, same_pose: float = 0.35
) -> tuple[Frame, Frame]:
    """Source and target frame of one identity with different expressions.

    Asymmetry and gaze are shared; light in 70 %, backdrop in 50 %, pose and camera in the share
    ``same_pose`` of the pairs.
    """
    source, target = sample_frame(rng, pose=pose), sample_frame(rng, pose=pose)
    au = target.au
    while np.abs(source.au - au).max() < SMALLEST_CHANGE:
        au = sample_expression(rng)
    target = replace(target, au=au, asymmetry=source.asymmetry, gaze=source.gaze)
    if rng.random() < 0.7:
        target = replace(target, light=source.light)
    if rng.random() < same_pose:
        target = replace(
            target,
            pose=source.pose,
            field_of_view=source.field_of_view,
            zoom=source.zoom,
            shift=source.shift,
            body_yaw=source.body_yaw,
        )
    if rng.random() < 0.5:
        target = replace(target, backdrop_seed=source.backdrop_seed)
    return source, target
