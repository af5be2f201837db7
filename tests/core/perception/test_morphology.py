"""Morphology of masks."""

from __future__ import annotations

import torch

from magicface_core.perception.morphology import (
    close_mask,
    connected_to,
    dilate,
    erode,
    fill_holes,
    open_mask,
)


def mask_of(*rows: str) -> torch.Tensor:
    return torch.tensor([[[[letter == "#" for letter in row] for row in rows]]])


def test_dilation_grows_an_octagon() -> None:
    point = torch.zeros(1, 1, 11, 11, dtype=torch.bool)
    point[..., 5, 5] = True
    assert int(dilate(point, 1).sum()) == 5
    assert int(dilate(point, 2).sum()) == 21
    grown = dilate(point, 4)
    assert grown[0, 0, 5, 1]
    assert grown[0, 0, 1, 5]
    assert not grown[0, 0, 1, 1]
    assert torch.equal(grown, grown.transpose(-1, -2))
    assert int(point.sum()) == 1


def test_erosion_undoes_dilation_of_large_shapes() -> None:
    block = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    block[..., 8:22, 8:22] = True
    assert torch.equal(erode(dilate(block, 3), 3), block)
    assert torch.equal(erode(torch.ones_like(block), 5), torch.ones_like(block))


def test_opening_removes_lines_and_closing_fills_gaps() -> None:
    block = torch.zeros(1, 1, 30, 30, dtype=torch.bool)
    block[..., 8:22, 8:22] = True
    with_line = block.clone()
    with_line[..., 15, :] = True
    assert not open_mask(with_line, 2)[0, 0, 15, :5].any()
    with_gap = block.clone()
    with_gap[..., 15, :] = False
    assert close_mask(with_gap, 2)[0, 0, 15, 10:20].all()


def test_holes_are_filled_and_bays_are_not() -> None:
    ring = mask_of("......", ".####.", ".#..#.", ".#..#.", ".####.", "......")
    assert int(fill_holes(ring).sum()) == 16
    bay = mask_of("......", ".####.", ".#....", ".#..#.", ".####.", "......")
    assert torch.equal(fill_holes(bay), bay)


def test_only_parts_that_touch_the_seed_stay() -> None:
    mask = mask_of("##..##", "#...##", "......", "#.####", "###..#")
    seed = torch.zeros_like(mask)
    seed[..., 3, 0] = True
    assert torch.equal(
        connected_to(seed, mask), mask_of("......", "......", "......", "#.####", "###..#")
    )
    assert not connected_to(torch.zeros_like(mask), mask).any()


def test_a_path_winds_through_a_maze() -> None:
    maze = mask_of("######", ".....#", "######", "#.....", "######")
    seed = torch.zeros_like(maze)
    seed[..., 0, 0] = True
    assert torch.equal(connected_to(seed, maze), maze)


def test_rows_are_not_joined_at_the_edges() -> None:
    mask = mask_of("..##", "##..", "....")
    seed = torch.zeros_like(mask)
    seed[..., 0, 3] = True
    assert int(connected_to(seed, mask).sum()) == 2
