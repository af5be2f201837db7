"""Rendering prepared shards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from magicface_training.config import DataConfig
from magicface_training.data.edit_sets import DataError, EditSets
from magicface_training.data.render import (
    Layout,
    _head_model,
    main,
    prepared_edit_set,
    write_shards,
)
from magicface_training.synthetic import edit_set_rng, sample_edit_set, sample_identity
from magicface_training.synthetic.picture.render import render

from magicface_core.framing.background import DOT_COLORS

LAYOUT = Layout(scenes=2, expressions=2, size=64)
SMALL = Layout(scenes=1, expressions=2, size=32)


@pytest.fixture(scope="module")
def prepared() -> dict[str, np.ndarray]:
    return prepared_edit_set(20_001, LAYOUT)


def test_pictures_and_labels_are_the_renderers(prepared: dict[str, np.ndarray]) -> None:
    model, rows = _head_model(), sample_edit_set(edit_set_rng(20_001), 2, 2)
    identity = sample_identity(model, 20_001)
    assert prepared["image"].shape == (4, 3, 64, 64)
    assert int(prepared["seed"]) == 20_001
    frames = [frame for row in rows for frame in row]
    assert np.array_equal(prepared["au"], np.stack([frame.au for frame in frames]))
    last = render(model, identity, frames[3], 64)
    assert np.array_equal(prepared["image"][3], last.image.transpose(2, 0, 1))
    mask = np.unpackbits(prepared["mask"][3]).reshape(64, 64).astype(bool)
    assert (mask | ~last.edit_mask).all()
    assert 0 < (mask & ~last.edit_mask).sum() < last.edit_mask.sum()


def test_condition_is_background_and_dots(prepared: dict[str, np.ndarray]) -> None:
    for image, condition, bits in zip(
        prepared["image"], prepared["condition"], prepared["mask"], strict=True
    ):
        mask = np.unpackbits(bits).reshape(64, 64).astype(bool)
        added = condition.astype(int) - np.where(mask, 0, image)
        assert added.min() >= 0
        dotted = added.max(0) > 0
        assert 17 < dotted.sum() < 300
        inside = condition[:, mask & dotted].astype(float)
        colours = np.array(DOT_COLORS, float).T
        assert np.ptp(inside[0] / np.maximum(inside.max(0), 1)) < 0.3  # all reddish, as drawn
        assert (inside.max(1) <= colours.max(1) + 1).all()


def test_same_seed_same_arrays(prepared: dict[str, np.ndarray]) -> None:
    again = prepared_edit_set(20_001, LAYOUT)
    assert again.keys() == prepared.keys()
    for name, array in prepared.items():
        assert np.array_equal(array, again[name]), name


def test_shards_are_whole_resumable_and_readable(tmp_path: Path) -> None:
    (short,) = write_shards(tmp_path, range(20_000, 20_001), SMALL)
    before = short.stat().st_mtime_ns
    assert write_shards(tmp_path, range(20_000, 20_001), SMALL) == [short]
    assert short.stat().st_mtime_ns == before
    assert write_shards(tmp_path, range(20_000, 20_002), SMALL) == [short]
    assert short.stat().st_mtime_ns != before
    with np.load(short) as shard:
        assert shard["seed"].tolist() == [20_000, 20_001]
        expected = prepared_edit_set(20_001, SMALL)
        for name in ("image", "condition", "mask", "au"):
            assert np.array_equal(shard[name][1], expected[name]), name
    grown = short.stat().st_mtime_ns
    write_shards(tmp_path, range(20_000, 20_001), SMALL)
    assert short.stat().st_mtime_ns == grown
    assert [path.name for path in tmp_path.iterdir()] == ["shard_00020000.npz"]
    data = EditSets(tmp_path)
    assert (len(data), data.scenes, data.expressions, data.size) == (2, 1, 2, 32)
    batch = data.batch(np.random.default_rng(0), DataConfig(other_scene=0.0, zero_delta=0.0))
    assert batch.target.shape == (2, 3, 32, 32)
    with pytest.raises(DataError, match="choose another folder"):
        write_shards(tmp_path, range(20_000, 20_001), LAYOUT)


def test_two_processes_make_the_same(tmp_path: Path) -> None:
    arguments = ["--split", "validation", "--identities", "2", "--scenes", "1"]
    arguments += ["--expressions", "2", "--size", "32", "--out", str(tmp_path)]
    assert main([*arguments, "--workers", "2"]) == 0
    with np.load(tmp_path / "shard_00010000.npz") as shard:
        for row, seed in enumerate((10_000, 10_001)):
            assert shard["seed"][row] == seed
            assert np.array_equal(
                shard["condition"][row], prepared_edit_set(seed, SMALL)["condition"]
            )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--start", "10000"], "split train has"),
        (["--split", "validation", "--identities", "20000"], "split validation has 10000 seeds"),
        (["--size", "60"], "size is 60; choose a multiple of 8"),
        (["--expressions", "1"], "make no edits"),
    ],
)
def test_mistakes_are_named(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_test_seeds_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        main(["--split", "test", "--out", str(tmp_path)])
