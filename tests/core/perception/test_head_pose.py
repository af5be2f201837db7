"""Head pose from a mesh: signs and sizes of the three angles, on a photograph turned by numbers."""

from __future__ import annotations

import numpy as np
import pytest

from magicface_core.perception import Face
from magicface_core.perception.head_pose import head_pose


def turned(mesh: np.ndarray, axis: str, degrees: float) -> np.ndarray:
    """A mesh turned about an axis of the picture: x right, y down, z away from the camera."""
    angle = np.radians(degrees)
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix = {
        "yaw": [[cosine, 0, -sine], [0, 1, 0], [sine, 0, cosine]],  # nose to the right
        "pitch": [[1, 0, 0], [0, cosine, -sine], [0, sine, cosine]],  # nose down
        "roll": [[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]],  # clockwise
    }[axis]
    middle = mesh.mean(0)
    result: np.ndarray = (mesh - middle) @ np.array(matrix).T + middle
    return result


def test_the_astronaut_looks_ahead(face: Face) -> None:
    pose = head_pose(face.mesh)
    assert abs(pose.yaw) < 5
    assert abs(pose.pitch) < 10
    assert abs(pose.roll) < 5


@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-30.0, 20.0])
def test_turns_are_read_in_degrees(face: Face, axis: str, degrees: float) -> None:
    before, after = head_pose(face.mesh), head_pose(turned(face.mesh, axis, degrees))
    assert getattr(after, axis) - getattr(before, axis) == pytest.approx(degrees, abs=3)


def test_the_size_of_a_face_does_not_matter(face: Face) -> None:
    assert head_pose(3 * face.mesh).yaw == pytest.approx(head_pose(face.mesh).yaw)
