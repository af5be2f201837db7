"""Blendshapes and action units of a photograph and of meshes made to order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from magicface_core.aus import AU_ORDER
from magicface_core.perception import Face, Perception
from magicface_core.perception.action_units import action_unit_readings, upright_mesh
from magicface_core.perception.blendshapes import NAMES, VERTICES
from magicface_core.pictures.crop import Crop


def test_tables() -> None:
    assert len(NAMES) == len(set(NAMES)) == 52
    assert len(VERTICES) == len(set(VERTICES)) == 146
    assert max(VERTICES) == 477


def test_a_smile_is_read_as_a_smile(perception: Perception, face: Face) -> None:
    coefficients = perception.blendshapes(face)
    assert coefficients["mouthSmileLeft"] > 0.8
    assert coefficients["jawOpen"] < 0.2
    estimate = perception.estimate_aus(face)
    values = dict(zip(AU_ORDER, estimate.intensities.values, strict=True))
    assert values[12] > 4
    assert values[25] > 1.5
    assert max(values[1], values[4], values[15], values[20], values[26]) < 1.5
    assert estimate.backend == "embedded"


def test_confidence_follows_what_is_known_of_each_unit(perception: Perception, face: Face) -> None:
    confidence = dict(zip(AU_ORDER, perception.estimate_aus(face).confidence, strict=True))
    assert all(0 <= value <= 1 for value in confidence.values())
    assert confidence[9] < 0.3 < confidence[15] < confidence[12]


def test_small_and_turned_faces_are_trusted_less(perception: Perception, face: Face) -> None:
    small = replace(face, mesh=face.mesh * 0.3)
    turned_mesh = face.mesh.copy()
    turned_mesh[:, 2] -= 1.5 * turned_mesh[:, 0]
    plain = perception.estimate_aus(face).confidence
    for other in (small, replace(face, mesh=turned_mesh)):
        assert all(
            a < b for a, b in zip(perception.estimate_aus(other).confidence, plain, strict=True)
        )


@pytest.mark.parametrize("angle", [0.5, 1.6, 3.1])
def test_tilt_and_scale_do_not_change_the_reading(
    perception: Perception, face: Face, angle: float
) -> None:
    turned = face.mapped(Crop((200.0, 100.0), 150.0, (512, 512), angle), 512)
    plain = perception.estimate_aus(face).intensities.values
    np.testing.assert_allclose(perception.estimate_aus(turned).intensities.values, plain, atol=0.02)


def test_upright_axes_and_unit(face: Face) -> None:
    shape = upright_mesh(face.mesh)
    np.testing.assert_allclose(shape[[33, 263]].mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(shape[263] - shape[33], [1, 0, 0], atol=1e-9)
    assert shape[152, 1] > shape[10, 1]


def test_readings_rise_with_their_measurements(face: Face) -> None:
    neutral = dict.fromkeys(NAMES, 0.0)
    driven = {
        1: {"browInnerUp": 0.6},
        2: {"browOuterUpLeft": 0.6, "browOuterUpRight": 0.6},
        4: {"browDownLeft": 0.5, "browDownRight": 0.5},
        5: {"eyeWideLeft": 0.1, "eyeWideRight": 0.1},
        6: {"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5},
        12: {"mouthSmileLeft": 0.7, "mouthSmileRight": 0.7},
        17: {"mouthShrugLower": 0.3},
        20: {"mouthStretchLeft": 0.3, "mouthStretchRight": 0.3},
        26: {"jawOpen": 0.5},
    }
    rest = action_unit_readings(neutral, face.mesh)
    for unit, change in driven.items():
        assert action_unit_readings(neutral | change, face.mesh)[unit] > rest[unit] + 0.2

    opened = face.mesh.copy()
    opened[14, 1] += 0.1 * face.width
    assert action_unit_readings(neutral, opened)[25] > rest[25] + 0.2
    dropped = face.mesh.copy()
    dropped[[61, 291], 1] += 0.05 * face.width
    assert action_unit_readings(neutral, dropped)[15] > rest[15] + 0.2
    wrinkled, relaxed = face.mesh.copy(), face.mesh.copy()
    wrinkled[[98, 327], 1] -= 0.05 * face.width
    relaxed[[98, 327], 1] += 0.05 * face.width
    lowered = neutral | driven[4]
    strength = action_unit_readings(lowered, wrinkled)[9]
    assert strength > action_unit_readings(lowered, relaxed)[9] + 0.1
