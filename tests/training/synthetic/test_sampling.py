from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from magicface_training.synthetic import (
    Frame,
    Light,
    edit_set_rng,
    sample_edit_set,
    sample_expression,
    sample_expression_set,
    sample_pair,
    sample_scene,
)
from magicface_training.synthetic.sampling import sample_light, sample_single

from magicface_core.aus import AU_ORDER

SLOT = {number: index for index, number in enumerate(AU_ORDER)}


def differing(a: Frame | Light, b: Frame | Light) -> set[str]:
    """Names of the fields in which two frames (or lights) differ."""
    names = set()
    for field in fields(a):
        first, second = getattr(a, field.name), getattr(b, field.name)
        if isinstance(first, Light):
            same = not differing(first, second)
        else:
            same = np.array_equal(first, second)
        if not same:
            names.add(field.name)
    return names


@pytest.fixture(scope="module")
def expressions() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([sample_expression(rng) for _ in range(2000)])


def test_expressions_stay_in_range(expressions: np.ndarray) -> None:
    assert expressions.dtype == np.float32
    assert expressions.shape == (2000, 12)
    assert expressions.min() == 0
    assert expressions.max() <= 5
    assert (expressions.max(0) > 3).all()


def test_expressions_are_possible(expressions: np.ndarray) -> None:
    smile, frown = expressions[:, SLOT[12]], expressions[:, SLOT[15]]
    assert not ((smile > 1) & (frown > 1)).any()
    parted, dropped = expressions[:, SLOT[25]], expressions[:, SLOT[26]]
    assert (parted >= 0.5 * dropped - 1e-6).all()


def test_shares_of_neutral_and_single_expressions(expressions: np.ndarray) -> None:
    active = (expressions > 0).sum(1)
    assert 0.12 < (active == 0).mean() < 0.20
    assert 0.12 < (active == 1).mean() < 0.35


def test_single_unit() -> None:
    rng = np.random.default_rng(1)
    singles = np.stack([sample_single(rng) for _ in range(100)])
    assert ((singles > 0).sum(1) == 1).all()
    assert (singles.max(1) >= 1).all()


@pytest.mark.parametrize("k", [1, 2, 6])
def test_expression_set_has_k_members_and_two_singles(k: int) -> None:
    expressions = sample_expression_set(np.random.default_rng(2), k)
    assert len(expressions) == k
    assert all((expression > 0).sum() == 1 for expression in expressions[1:3])


def test_edit_set_varies_only_expression_and_noise_within_a_scene() -> None:
    rows = sample_edit_set(edit_set_rng(20_000), scenes=3, k=4)
    assert [len(row) for row in rows] == [4, 4, 4]
    for row in rows:
        for frame in row[1:]:
            assert differing(row[0], frame) <= {"au"}
    first = rows[0][0]
    for row in rows[1:]:
        assert row[0].gaze == first.gaze
        assert np.array_equal(row[0].asymmetry, first.asymmetry)
        assert {"pose", "light", "backdrop_seed"} <= differing(first, row[0])


def test_one_seed_gives_one_edit_set() -> None:
    first, again = (sample_edit_set(edit_set_rng(7), 1, 3)[0] for _ in range(2))
    for a, b in zip(first, again, strict=True):
        assert not differing(a, b)
    other = sample_edit_set(edit_set_rng(8), 1, 3)[0][0]
    assert "pose" in differing(first[0], other)


def test_scenes_are_neutral_and_within_their_limits() -> None:
    rng = np.random.default_rng(3)
    scenes = [sample_scene(rng, pose=22, zoom=(1.06, 1.28)) for _ in range(200)]
    poses = np.abs([scene.pose for scene in scenes])
    assert (poses <= np.array([22, 16.5, 15.4]) + 1e-4).all()
    assert (poses.max(0) > 10).all()
    assert all(1.06 <= scene.zoom <= 1.28 and not scene.au.any() for scene in scenes)


def test_pairs_share_person_and_differ_in_expression() -> None:
    rng = np.random.default_rng(4)
    pairs = [sample_pair(rng) for _ in range(200)]
    for source, target in pairs:
        assert np.abs(source.au - target.au).max() >= 1
        assert not {"asymmetry", "gaze"} & differing(source, target)
    same_pose = np.mean([np.array_equal(a.pose, b.pose) for a, b in pairs])
    same_light = np.mean([a.light is b.light for a, b in pairs])
    same_backdrop = np.mean([a.backdrop_seed == b.backdrop_seed for a, b in pairs])
    assert (same_pose, same_light, same_backdrop) == pytest.approx((0.35, 0.7, 0.5), abs=0.12)


def test_light_is_positive_and_comes_from_the_front() -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        light = sample_light(rng)
        assert abs(light.key_azimuth) <= 75
        for colour in (light.key_colour, light.fill_colour, light.sky, light.ground):
            assert colour.shape == (3,)
            assert colour.dtype == np.float32
            assert (colour > 0).all()
