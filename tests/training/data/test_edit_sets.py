"""Batches from shards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.config import DataConfig
from magicface_training.data.edit_sets import EditSets
from magicface_training.data.errors import DataError
from magicface_training.data.samples import Batch

SETTINGS = DataConfig(identities_per_step=3, targets_per_identity=4)


def draw(data: EditSets, seed: int, settings: DataConfig = SETTINGS) -> Batch:
    return data.batch(np.random.default_rng([7, seed]), settings)


@pytest.fixture
def marked(tmp_path: Path) -> EditSets:
    """Pictures and conditions that say which they are, with coordinates as colours."""
    identities, scenes, expressions, size = 4, 2, 3, 32
    shape = (identities, scenes * expressions, 3, size, size)
    rows, columns = np.mgrid[:size, :size].astype(np.uint8)
    image = np.zeros(shape, np.uint8)
    image[:, :, 1], image[:, :, 2] = rows, columns
    index = np.arange(identities)[:, None] * 10 + np.arange(scenes * expressions)
    image[:, :, 0] = index[:, :, None, None]
    au = np.zeros((identities, scenes * expressions, 12), np.float32)
    au[..., 0] = np.arange(scenes * expressions)
    mask = np.zeros((*shape[:2], size * size // 8), np.uint8)
    np.savez(tmp_path / "a.npz", image=image, condition=image + 100, mask=mask, au=au)
    return EditSets(tmp_path)


def numbers(pictures: torch.Tensor) -> list[int]:
    return (pictures[:, 0, 0, 0] * 255).round().int().tolist()


def test_shapes_and_ranges(edit_sets: EditSets) -> None:
    assert len(edit_sets) == 5
    assert (edit_sets.scenes, edit_sets.expressions, edit_sets.size) == (2, 3, 32)
    batch = draw(edit_sets, 0)
    assert batch.identity.shape == (3, 3, 32, 32)
    assert batch.target.shape == batch.condition.shape == (12, 3, 32, 32)
    assert batch.mask.shape == (12, 1, 32, 32)
    assert (batch.delta.shape, batch.same_scene.shape) == ((12, 12), (12,))
    assert 0 <= float(batch.target.min()) <= float(batch.target.max()) <= 1
    assert set(batch.mask.unique().tolist()) == {0.0, 1.0}
    assert not batch.condition[batch.mask.expand_as(batch.condition) > 0].any()


def test_batches_depend_on_seed_and_step_alone(shards: Path, edit_sets: EditSets) -> None:
    fresh = EditSets(shards)
    later = [draw(fresh, step) for step in (3, 1)][1]
    first = draw(edit_sets, 1)
    for name in ("identity", "target", "condition", "mask", "delta", "same_scene"):
        assert torch.equal(getattr(first, name), getattr(later, name)), name
    assert not torch.equal(first.delta, draw(edit_sets, 2).delta)


def test_target_b_belongs_to_identity_b_mod_r(marked: EditSets) -> None:
    for step in range(10):
        batch = draw(marked, step)
        people = [number // 10 for number in numbers(batch.identity)]
        assert len(set(people)) == 3
        assert [number // 10 for number in numbers(batch.target)] == people * 4
        expected = [
            t % 10 - s % 10
            for s, t in zip(numbers(batch.identity) * 4, numbers(batch.target), strict=True)
        ]
        assert batch.delta[:, 0].tolist() == expected


def test_exact_edits_use_the_source_and_pairs_the_target_condition(marked: EditSets) -> None:
    seen = set()
    for step in range(20):
        batch = draw(marked, step)
        sources = numbers(batch.identity) * 4
        rows = zip(
            sources,
            numbers(batch.target),
            numbers(batch.condition),
            batch.same_scene.tolist(),
            strict=True,
        )
        for source, target, condition, same in rows:
            assert same == (source % 10 // 3 == target % 10 // 3)
            assert condition - 100 == (source if same else target)
            seen.add((same, source == target))
    assert seen == {(True, True), (True, False), (False, False)}


@pytest.mark.parametrize(
    ("settings", "same", "zero"),
    [
        ({"other_scene": 1.0, "zero_delta": 0.0}, 0.0, 0.0),
        ({"other_scene": 0.0, "zero_delta": 1.0}, 1.0, 1.0),
        ({"other_scene": 0.0, "zero_delta": 0.0}, 1.0, 0.0),
        ({"other_scene": 0.5, "zero_delta": 0.2}, 0.5, 0.2),
    ],
)
def test_shares_of_pairs(
    marked: EditSets, settings: dict[str, float], same: float, zero: float
) -> None:
    config = DataConfig(identities_per_step=4, targets_per_identity=3, **settings)  # type: ignore[arg-type]
    batches = [draw(marked, step, config) for step in range(60)]
    found = torch.cat([b.same_scene for b in batches]).float().mean()
    unchanged = torch.cat([(b.delta == 0).all(1) for b in batches]).float().mean()
    tolerance = 0.0 if same in (0, 1) else 0.06
    assert float(found) == pytest.approx(same, abs=tolerance)
    assert float(unchanged) == pytest.approx(zero, abs=tolerance)


def test_windows_of_a_sample_are_cut_alike_on_the_grid(marked: EditSets) -> None:
    places = set()
    for step in range(20):
        batch = draw(marked, step, replace(SETTINGS, window=16))
        for pictures in (batch.identity, batch.target):
            assert pictures.shape[2:] == (16, 16)
        assert batch.mask.shape[2:] == (16, 16)
        corners = (batch.identity[:, 1:, 0, 0] * 255).round().int()
        of_targets = (batch.target[:, 1:, 0, 0] * 255).round().int()
        assert torch.equal(of_targets, corners.repeat(4, 1))
        places |= {tuple(corner) for corner in corners.tolist()}
    assert places == {(y, x) for y in (0, 8, 16) for x in (0, 8, 16)}
    assert draw(marked, 0, replace(SETTINGS, window=32)).target.shape[2:] == (32, 32)


def test_three_scenes(tmp_path: Path) -> None:
    image = np.zeros((2, 6, 3, 8, 8), np.uint8)
    image += np.arange(6, dtype=np.uint8)[:, None, None, None]
    arrays = {"mask": np.zeros((2, 6, 8), np.uint8), "au": np.zeros((2, 6, 12), np.float32)}
    np.savez(tmp_path / "a.npz", image=image, condition=image, scenes=np.array(3), **arrays)
    data = EditSets(tmp_path)
    assert data.expressions == 2
    config = DataConfig(other_scene=1.0, zero_delta=0.0)
    pairs = set()
    for step in range(60):
        batch = draw(data, step, config)
        scenes = [[n // 2 for n in numbers(p)] for p in (batch.identity, batch.target)]
        pairs |= set(zip(*scenes, strict=True))
    assert pairs == {(a, b) for a in range(3) for b in range(3) if a != b}


def test_shards_that_do_not_fit(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no shards \(\*\.npz\) in .* magicface_training\.data\.r"):
        EditSets(tmp_path)
    image = np.zeros((1, 6, 3, 8, 8), np.uint8)
    arrays = {"mask": np.zeros((1, 6, 8), np.uint8), "au": np.zeros((1, 6, 12), np.float32)}
    for name, scenes in (("a", 2), ("b", 1)):
        np.savez(
            tmp_path / f"{name}.npz",
            image=image,
            condition=image,
            scenes=np.array(scenes),
            **arrays,
        )
    with pytest.raises(DataError, match=r"have \[1, 2\] scenes"):
        EditSets(tmp_path)
    (tmp_path / "a.npz").unlink()
    (tmp_path / "c.npz").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"cannot read .*c\.npz: .* render it again"):
        EditSets(tmp_path)
    np.savez(tmp_path / "c.npz", image=image)
    with pytest.raises(DataError, match=r"c\.npz lacks \['au', 'condition', 'mask'\]"):
        EditSets(tmp_path)
    (tmp_path / "c.npz").unlink()
    with pytest.raises(DataError, match="hold one scene; set it to 0"):
        draw(EditSets(tmp_path), 0)


# --- movements of skin ----------------------------------------------------------------------------


@pytest.fixture
def tracked(marked: EditSets, tmp_path: Path) -> EditSets:
    """Point p of picture i lies at column 4 p + i, row 8; picture 5 shows none."""
    with np.load(tmp_path / "a.npz") as shard:
        arrays = dict(shard)
    columns = 4 * np.arange(4)[None] + np.arange(6)[:, None]
    places = np.stack([columns, np.full_like(columns, 8)], axis=2)
    points = np.broadcast_to(places / 16 - 1, (4, 6, 4, 2)).astype(np.float16)
    seen = np.ones((4, 6, 4), bool)
    seen[:, 5] = False
    np.savez(tmp_path / "a.npz", **arrays, points=points, seen=seen)
    return EditSets(tmp_path)


@pytest.mark.parametrize("window", [0, 16])
def test_tracks_lead_from_the_target_back_to_the_identity(tracked: EditSets, window: int) -> None:
    settings = replace(SETTINGS, window=window, zero_delta=0.0)
    batch = draw(tracked, 1, settings)
    assert batch.tracks is not None
    side = batch.target.shape[-1]
    source = [number % 10 for number in numbers(batch.identity)] * 4
    for row, target in enumerate(numbers(batch.target)):
        tracks, moved = batch.tracks[row], target % 10 - source[row % 3]
        left, top = (float(batch.target[row, c, 0, 0] * 255) for c in (2, 1))
        columns = torch.arange(4) * 4 + target % 10 - left
        assert torch.allclose(tracks[:, 0], columns * 2 / side - 1, atol=2e-3)
        assert torch.allclose(tracks[:, 1], torch.tensor((8 - top) * 2 / side - 1), atol=2e-3)
        assert torch.allclose(tracks[:, 2], torch.tensor(-moved * 2 / side), atol=2e-3)
        assert not tracks[:, 3].any()
        hidden = 5 in (target % 10, source[row % 3])
        assert tracks[:, 4].tolist() == [0.0 if hidden else 1.0] * 4


def test_shards_without_points_have_no_tracks(edit_sets: EditSets) -> None:
    assert draw(edit_sets, 0).tracks is None
