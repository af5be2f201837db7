from __future__ import annotations

import pytest
import torch
from magicface_training.synthetic.raster import (
    FAR,
    NOTHING,
    barycentric_at_pixels,
    interpolate,
    rasterize,
)
from torch import Tensor


def random_mesh(count: int, size: int) -> tuple[Tensor, Tensor]:
    """Triangles of all sizes, some of them partly outside the picture."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(count, 1, 2, generator=generator) * size
    reach = torch.rand(count, 1, 1, generator=generator) ** 3 * size
    corners = centres + (torch.rand(count, 3, 2, generator=generator) - 0.5) * reach
    depth = 1 + torch.rand(count, 3, 1, generator=generator)
    points = torch.cat([corners, depth], -1).view(-1, 3).contiguous()
    return points, torch.arange(3 * count).view(count, 3)


def test_one_triangle_covers_the_pixel_centres_inside_it() -> None:
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 4.0, 1.0], [4.0, 0.0, 3.0]])
    ids, depth = rasterize(points, torch.tensor([[0, 1, 2]]), 4, backend="torch")
    expected = torch.tensor([[0, 0, 0, 0], [0, 0, 0, -1], [0, 0, -1, -1], [0, -1, -1, -1]])
    assert torch.equal(ids.long(), expected)
    assert depth[0, 0] == pytest.approx(1.25)
    assert depth[3, 3] == torch.tensor(FAR)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_back_faces_are_culled_unless_two_sided(backend: str) -> None:
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 4.0, 1.0], [4.0, 0.0, 1.0]])
    for corners, culled in (([0, 1, 2], False), ([0, 2, 1], True)):
        triangles = torch.tensor([corners])
        ids, _ = rasterize(points, triangles, 4, torch.tensor([False]), backend=backend)
        assert bool((ids == NOTHING).all()) == culled
        ids, _ = rasterize(points, triangles, 4, torch.tensor([True]), backend=backend)
        assert (ids == 0).any()


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_the_nearest_triangle_wins(backend: str) -> None:
    flat = torch.tensor([[-8.0, -8.0], [-8.0, 24.0], [24.0, -8.0]])
    points = torch.cat([torch.cat([flat, torch.full((3, 1), d)], 1) for d in (2.0, 1.0, 3.0)])
    ids, depth = rasterize(points, torch.arange(9).view(3, 3), 8, backend=backend)
    assert (ids == 1).all()
    assert torch.allclose(depth, torch.ones(8, 8))


def test_backends_agree() -> None:
    points, triangles = random_mesh(400, 64)
    ids, depth = rasterize(points, triangles, 64, backend="auto")
    ids_torch, depth_torch = rasterize(points, triangles, 64, backend="torch")
    assert (ids != ids_torch).float().mean() < 0.002
    same = ids == ids_torch
    assert torch.allclose(depth[same], depth_torch[same], atol=1e-4)
    pixels = torch.nonzero((same & (ids != NOTHING)).view(-1)).squeeze(1)
    owner = ids.view(-1)[pixels].long()
    attributes = torch.rand(len(points), 5, generator=torch.Generator().manual_seed(1))
    values = [
        interpolate(points, triangles, owner, pixels, 64, attributes, backend)
        for backend in ("auto", "torch")
    ]
    assert torch.allclose(*values, atol=2e-3)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_interpolation_is_perspective_correct(backend: str) -> None:
    # 1 / depth is linear on the screen, so depth itself must come back exactly
    points = torch.tensor([[0.0, 0.0, 1.0], [0.0, 16.0, 2.0], [16.0, 0.0, 4.0]])
    triangles = torch.tensor([[0, 1, 2]])
    pixels = torch.tensor([0, 5, 17, 40])
    owner = torch.zeros(4, dtype=torch.long)
    depth = interpolate(points, triangles, owner, pixels, 16, points[:, 2:].clone(), backend)
    weights = barycentric_at_pixels(points, triangles[owner], pixels, 16)
    assert torch.allclose(1 / depth[:, 0], weights @ (1 / points[:, 2]), atol=1e-5)
