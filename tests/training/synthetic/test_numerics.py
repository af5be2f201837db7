from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from magicface_training.synthetic.head.curves import polyline_distance, smooth_curve
from magicface_training.synthetic.head.noise import fractal_noise
from magicface_training.synthetic.head.rotation import (
    direction,
    euler_matrix,
    rotate_weighted,
    rotation_vector,
)
from magicface_training.synthetic.numerics import (
    linear_to_srgb,
    piecewise_linear,
    smoothstep,
    smoothstep_torch,
    srgb_to_linear,
    vertex_normals,
)
from magicface_training.synthetic.picture.backdrop import paint_backdrop


def test_smoothstep_rises_and_falls() -> None:
    x = np.linspace(-1, 2, 31)
    rising = smoothstep(0, 1, x)
    assert (np.diff(rising) >= 0).all()
    assert rising[0] == 0
    assert rising[-1] == 1
    assert np.allclose(smoothstep(1, 0, x), 1 - rising)
    assert np.allclose(smoothstep_torch(0, 1, torch.from_numpy(x)).numpy(), rising)


def test_srgb_and_linear_light_are_inverse() -> None:
    values = np.linspace(0, 1, 65, dtype=np.float32)
    linear = srgb_to_linear(values)
    assert linear[32] == pytest.approx(0.214, abs=1e-3)
    assert np.allclose(linear_to_srgb(torch.from_numpy(linear)).numpy(), values, atol=1e-4)


def test_piecewise_linear_matches_numpy() -> None:
    x = np.linspace(-1, 4, 41, dtype=np.float32)
    knots, values = np.float32([0, 1, 3]), np.float32([2, -1, 5])
    ours = piecewise_linear(*(torch.from_numpy(a) for a in (x, knots, values)))
    assert np.allclose(ours.numpy(), np.interp(x, knots, values), atol=1e-5)


def test_vertex_normals_of_a_tetrahedron_point_outwards() -> None:
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    triangles = torch.tensor([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = vertex_normals(vertices, triangles)
    outward = vertices - vertices.mean(0)
    assert torch.allclose(normals.norm(dim=1), torch.ones(4), atol=1e-5)
    assert ((normals * outward).sum(1) > 0.5 * outward.norm(dim=1)).all()


def test_euler_matrix_and_rotation_vector_agree() -> None:
    matrix = euler_matrix(20, -10, 5)
    assert np.allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
    points = torch.eye(3)
    turned = rotate_weighted(points, torch.ones(3), rotation_vector(matrix), torch.zeros(3))
    assert np.allclose(turned.numpy(), matrix.T, atol=1e-5)
    resting = rotate_weighted(points, torch.zeros(3), rotation_vector(matrix), torch.zeros(3))
    assert torch.allclose(resting, points, atol=1e-6)


def test_directions() -> None:
    assert torch.allclose(direction(0, 0), torch.tensor([0.0, -1.0, 0.0]))
    assert torch.allclose(direction(90, 0), torch.tensor([1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.allclose(direction(0, 90), torch.tensor([0.0, 0.0, 1.0]), atol=1e-6)


def test_polyline_distance() -> None:
    x, z = np.array([0.0, 5.0, 12.0, 10.0]), np.array([3.0, -4.0, 0.0, 10.0])
    distance, position = polyline_distance(x, z, [(0, 0), (10, 0), (10, 10)])
    assert np.allclose(distance, [3, 4, 2, 0])
    assert np.allclose(position, [0, 0.25, 0.5, 1])


def test_smooth_curve_passes_through_its_points() -> None:
    points = [(0.0, 0.0), (4.0, 3.0), (9.0, -1.0)]
    curve = np.array(smooth_curve(points, steps=8))
    assert len(curve) == 17
    assert np.allclose(curve[::8], points, atol=1e-5)
    assert np.hypot(*np.diff(curve, axis=0).T).max() < math.hypot(5, 4) / 4


def test_fractal_noise_is_seeded_and_smooth() -> None:
    first, again = (fractal_noise(np.random.default_rng(0), 64, 64, 8, 3) for _ in range(2))
    assert np.array_equal(first, again)
    assert abs(first.mean()) < 0.2
    assert 0.2 < first.std() < 1
    assert np.abs(np.diff(first, axis=1)).mean() < 0.3 * first.std()


def test_backdrops_are_seeded_varied_and_in_range() -> None:
    backdrops = [paint_backdrop(seed, 24) for seed in range(12)]
    for picture in backdrops:
        assert picture.shape == (24, 24, 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0.003 - 1e-6
        assert picture.max() <= 1.2
    assert np.array_equal(paint_backdrop(5, 24), backdrops[5])
    assert len({picture.tobytes() for picture in backdrops}) == 12
