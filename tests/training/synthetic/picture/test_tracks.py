"""Exact correspondences of skin between two expressions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from magicface_training.synthetic import (
    HeadModel,
    Identity,
    edit_set_rng,
    sample_edit_set,
    sample_identity,
    sample_scene,
)
from magicface_training.synthetic.frame import Frame
from magicface_training.synthetic.head.regions import Part
from magicface_training.synthetic.picture.render import render
from magicface_training.synthetic.picture.tracks import (
    MOST_POINTS,
    Tracks,
    eye_weights,
    track,
    tracked_vertices,
)

from magicface_core.aus import AU_ORDER

SEED, SIZE = 20_000, 128


@pytest.fixture(scope="module")
def identity(model: HeadModel) -> Identity:
    return sample_identity(model, SEED)


@pytest.fixture(scope="module")
def neutral() -> Frame:
    frame = sample_edit_set(edit_set_rng(SEED), 1, 2)[0][0]
    return replace(frame, au=np.zeros(len(AU_ORDER), np.float32))


def followed(model: HeadModel, identity: Identity, frame: Frame) -> Tracks:
    return track(model, identity, frame, tracked_vertices(model))


def test_points_are_outer_skin_that_moves(model: HeadModel) -> None:
    vertices = tracked_vertices(model)
    assert 500 < len(vertices) <= MOST_POINTS
    assert (model.part[vertices] == Part.BODY).all()
    assert not model.pack.mouth_inside[vertices.numpy()].any()


def test_dropping_the_jaw_moves_the_chin_down_and_no_brow(
    model: HeadModel, identity: Identity, neutral: Frame
) -> None:
    dropped = replace(neutral, au=np.eye(len(AU_ORDER), dtype=np.float32)[AU_ORDER.index(26)] * 4)
    before, after = (followed(model, identity, frame) for frame in (neutral, dropped))
    movement = after.points - before.points
    height = model.template[tracked_vertices(model)][:, 2].numpy()
    chin, brows = height < 0.64, height > 0.75
    assert movement[chin & before.seen, 1].max() > 0.03
    assert np.abs(movement[brows]).max() < 1e-4


def test_points_lie_in_the_face(model: HeadModel, identity: Identity, neutral: Frame) -> None:
    from magicface_training.synthetic import FaceClass
    from magicface_training.synthetic.picture.render import render

    size = 128
    found, picture = followed(model, identity, neutral), render(model, identity, neutral, size)
    column, row = ((found.points[found.seen] + 1) * size / 2).astype(int).clip(0, size - 1).T
    background = picture.classes[row, column] == FaceClass.BACKGROUND
    assert background.mean() < 0.02


def test_what_faces_away_is_not_seen(model: HeadModel, identity: Identity, neutral: Frame) -> None:
    turned = replace(neutral, pose=np.array([50, 0, 0], np.float32))
    across = model.template[tracked_vertices(model)][:, 0].numpy()
    left, right = across > 0.03, across < -0.03
    front = followed(model, identity, replace(neutral, pose=np.zeros(3, np.float32))).seen
    aside = followed(model, identity, turned).seen
    assert abs(front[left].mean() - front[right].mean()) < 0.1
    assert abs(aside[left].mean() - aside[right].mean()) > 0.3


def test_eyes_are_told_from_the_skin_around_them(model: HeadModel) -> None:
    vertices, weights = tracked_vertices(model), eye_weights(model).numpy()
    for seed in (3, 4):
        identity = sample_identity(model, seed)
        scene = sample_scene(np.random.default_rng(seed), pose=15.0)
        found = (weights @ track(model, identity, scene, vertices).points + 1) * SIZE / 2
        exact = render(model, identity, scene, SIZE).points5[:2]
        assert np.abs(found - exact).max() < 0.03 * SIZE
