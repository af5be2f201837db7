"""What becomes of a row of prepared shards."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.config import DataConfig
from magicface_training.data.edit_sets import DataError
from magicface_training.data.mirroring import mirror_background
from magicface_training.data.pairs import PairSource
from magicface_training.data.samples import Sample
from magicface_training.data.sources import open_source
from pair_shards import pair_row
from PIL import Image

PLAIN = DataConfig(zero_delta=0.0, flip=0.0)


@pytest.fixture(scope="module")
def source(pair_shards: Path) -> PairSource:
    found = open_source(pair_shards, "train", PLAIN)
    assert isinstance(found, PairSource)
    return found


def drawn(source: PairSource, index: int, seed: int = 0, **settings: float) -> Sample:
    config = replace(PLAIN, **settings)  # type: ignore[arg-type]
    return source.sample(index, np.random.default_rng(seed), config)


def picture(row: dict[str, bytes], name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(row[name])).convert("RGB"))


def shown(pictures: torch.Tensor | None) -> np.ndarray:
    assert pictures is not None
    return (pictures.squeeze(0) * 255).round().byte().permute(1, 2, 0).numpy()


def test_a_row_as_it_is(source: PairSource) -> None:
    assert (len(source), source.picture_size) == (9, 64)
    for index in (0, 5, 8):  # on both sides of the shards' border
        row = pair_row("train", index, 64, 0)
        sample = drawn(source, index)
        assert np.array_equal(shown(sample.identity), picture(row, "source"))
        assert np.array_equal(shown(sample.target), picture(row, "target"))
        assert np.array_equal(shown(sample.condition), picture(row, "background"))
        assert sample.mask.shape == (1, 1, 64, 64)
        assert np.array_equal(sample.mask[0, 0].numpy() > 0, picture(row, "mask")[..., 0] > 0)
        assert set(sample.mask.unique().tolist()) == {0.0, 1.0}
        assert sample.delta.shape == (1, 12)
        assert sample.delta[0, 0].item() == pytest.approx(index + 1, abs=1e-6)
        assert not sample.delta[0, 1:].any()
        assert sample.same_scene.tolist() == [False]


def test_zero_delta_edits_the_target_into_itself(source: PairSource) -> None:
    sample = drawn(source, 4, zero_delta=1.0)
    row = pair_row("train", 4, 64, 0)
    assert np.array_equal(shown(sample.identity), picture(row, "target"))
    assert np.array_equal(shown(sample.target), picture(row, "target"))
    assert np.array_equal(shown(sample.condition), picture(row, "background"))
    assert not sample.delta.any()
    assert sample.same_scene.tolist() == [True]


def test_flipped_pictures_keep_their_action_units(source: PairSource) -> None:
    plain, flipped = drawn(source, 2), drawn(source, 2, flip=1.0)
    for name in ("identity", "target"):
        assert np.array_equal(shown(getattr(flipped, name)), shown(getattr(plain, name))[:, ::-1])
    assert torch.equal(flipped.mask, plain.mask.flip(-1))
    assert torch.equal(flipped.delta, plain.delta)
    bits = (plain.mask[0, 0].numpy() * 255).astype(np.uint8)
    expected = mirror_background(shown(plain.condition), shown(plain.target), bits)
    assert np.array_equal(shown(flipped.condition), expected)


def test_windows_are_cut_alike(source: PairSource) -> None:
    whole = drawn(source, 3)
    places = set()
    for seed in range(30):
        sample = drawn(source, 3, seed, window=32)
        assert sample.mask.shape == (1, 1, 32, 32)
        for top in (8, 16, 24):
            for left in (8, 16, 24):
                at = (..., slice(top, top + 32), slice(left, left + 32))
                if torch.equal(sample.target, whole.target[at]):  # type: ignore[index]
                    places.add((top, left))
                    assert torch.equal(sample.identity, whole.identity[at])  # type: ignore[index]
                    assert torch.equal(sample.mask, whole.mask[at])
    assert len(places) >= 8


@pytest.mark.parametrize("shares", [{"zero_delta": 0.3}, {"flip": 0.4}])
def test_shares(source: PairSource, shares: dict[str, float]) -> None:
    plain = drawn(source, 0)
    samples = [drawn(source, 0, seed, **shares) for seed in range(300)]
    changed = [not torch.equal(s.identity, plain.identity) for s in samples]  # type: ignore[arg-type]
    assert np.mean(changed) == pytest.approx(next(iter(shares.values())), abs=0.08)


def test_settings_that_pairs_cannot_follow(source: PairSource) -> None:
    with pytest.raises(DataError, match=r"targets_per_identity is 4, .* set it to 1"):
        source.check(DataConfig(targets_per_identity=4))
    source.check(DataConfig(window=32, flip=0.5))
