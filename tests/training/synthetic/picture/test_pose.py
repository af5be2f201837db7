"""What the action units, gaze and pose do to the mesh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from magicface_training.synthetic import Frame, HeadModel, Identity, exact_edit
from magicface_training.synthetic.head.regions import Part
from magicface_training.synthetic.picture.pose import expression_offsets, pose_mesh

from magicface_core.aus import AU_ORDER

SIDE, UP = 0, 2


def vertex_near(model: HeadModel, x: float, z: float) -> int:
    """Front skin vertex of the template nearest to (x, z) in mm."""
    template = model.template * 1000
    distance = torch.hypot(template[:, 0] - x, template[:, 2] - z)
    inside = torch.from_numpy(model.pack.mouth_inside | model.pack.eye_cavity)
    excluded = (model.part != Part.BODY) | (template[:, 1] > -80) | inside
    return int((distance + 1e3 * excluded).argmin())


def single(number: int, intensity: float) -> np.ndarray:
    au = np.zeros(12, np.float32)
    au[AU_ORDER.index(number)] = intensity
    return au


@pytest.mark.parametrize(
    ("number", "place", "axis", "sign"),
    [
        (1, (10, 748), UP, 1),  # inner brow up
        (2, (45, 749), UP, 1),  # outer brow up
        (4, (14, 747), UP, -1),  # brow down
        (6, (42, 704), UP, 1),  # cheek up
        (9, (13, 692), UP, 1),  # nostril wing up
        (12, (26, 661), UP, 1),  # mouth corner up ...
        (12, (26, 661), SIDE, 1),  # ... and out
        (15, (26, 661), UP, -1),  # mouth corner down
        (17, (0, 634), UP, 1),  # chin boss up
        (20, (26, 661), SIDE, 1),  # mouth corner out
        (25, (0, 652), UP, -1),  # lower lip down
        (26, (0, 622), UP, -1),  # chin down
    ],
)
def test_landmarks_move_monotonically_with_intensity(
    model: HeadModel,
    identities: list[Identity],
    frontal: Frame,
    number: int,
    place: tuple[float, float],
    axis: int,
    sign: int,
) -> None:
    vertex = vertex_near(model, *place)
    for identity in identities:
        path = [
            sign * float(expression_offsets(model, identity, frame)[vertex, axis])
            for frame in (exact_edit(frontal, single(number, i)) for i in (0, 1, 3, 5))
        ]
        assert path[0] == 0
        assert (np.diff(path) > 0).all()
        assert path[-1] > 5e-4
        assert path[2] == pytest.approx(3 * path[1], rel=1e-3)


def test_upper_lid_rises_with_au5(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    lids = (model.part == Part.LASHES) & (model.template[:, 2] > 0.7275)
    for identity in identities:
        offsets = expression_offsets(model, identity, exact_edit(frontal, single(5, 5)))
        assert offsets[lids, 2].max() > 5e-4


def test_both_sides_move_and_asymmetry_scales_one(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    left, right = vertex_near(model, 26, 661), vertex_near(model, -26, 661)
    smile = exact_edit(frontal, single(12, 5))
    offsets = expression_offsets(model, identities[0], smile)
    lopsided = replace(smile, asymmetry=smile.asymmetry * np.float32([1, 0.5]))
    weaker = expression_offsets(model, identities[0], lopsided)
    assert torch.allclose(weaker[left], offsets[left], atol=1e-6)
    assert torch.allclose(weaker[right], 0.5 * offsets[right], atol=1e-6)


def test_expression_leaves_the_back_of_the_head_alone(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    frame = exact_edit(frontal, np.full(12, 5.0))
    behind = (model.template[:, 1] > 0) & (model.template[:, 2] > 0.7)
    offsets = expression_offsets(model, identities[0], frame)
    assert offsets[behind].abs().max() < 1e-3
    assert offsets.norm(dim=1).max() < 0.08


@pytest.mark.parametrize(
    ("pose", "axis", "sign"),
    [((20, 0, 0), 0, 1), ((0, 15, 0), 2, -1)],
)
def test_head_turns_where_the_pose_says(
    model: HeadModel,
    identities: list[Identity],
    frontal: Frame,
    pose: tuple[float, float, float],
    axis: int,
    sign: int,
) -> None:
    """Yaw turns the nose to the subject's left, pitch turns it down."""
    nose = model.landmarks.nose_tip
    resting = pose_mesh(model, identities[0], frontal)
    turned = pose_mesh(model, identities[0], replace(frontal, pose=np.float32(pose)))
    assert sign * float(turned.vertices[nose, axis] - resting.vertices[nose, axis]) > 0.01
    shoulders = torch.nonzero(model.head_weight < 1e-6).squeeze(1)
    assert torch.allclose(turned.vertices[shoulders], resting.vertices[shoulders], atol=1e-5)


def test_roll_tilts_the_head_to_the_left_shoulder(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    turned = pose_mesh(model, identities[0], replace(frontal, pose=np.float32((0, 0, 12))))
    left, right = turned.eyes
    assert left[2] < right[2]


def test_gaze_turns_the_eyeballs_about_their_centres(
    model: HeadModel, identities: list[Identity], frontal: Frame
) -> None:
    ahead = pose_mesh(model, identities[0], frontal)
    aside = pose_mesh(model, identities[0], replace(frontal, gaze=(14.0, 0.0)))
    assert torch.allclose(ahead.eyes, aside.eyes, atol=1e-5)
    eye = torch.nonzero(model.part == Part.EYE_LEFT).squeeze(1)
    pupil = eye[model.template[eye, 1].argmin()]
    assert aside.vertices[pupil, 0] - ahead.vertices[pupil, 0] > 0.002
