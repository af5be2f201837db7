"""Splits by identity that stay where they are."""

from __future__ import annotations

import pytest
from magicface_training.shards.errors import ShardError
from magicface_training.shards.splitting import SPLITS, SplitSettings, split_identities

MANY = [f"person {number}" for number in range(2000)]


def test_shares_are_those_asked_for() -> None:
    splits = list(split_identities(MANY, SplitSettings(0.1, 0.05), seed=0).values())
    assert splits.count("validation") == pytest.approx(200, abs=40)
    assert splits.count("test") == pytest.approx(100, abs=30)


def test_more_identities_move_nobody() -> None:
    few = split_identities(MANY[:1000], SplitSettings(), seed=0)
    many = split_identities(reversed(MANY), SplitSettings(), seed=0)
    assert few == {name: many[name] for name in few}


def test_another_seed_is_another_split() -> None:
    settings = SplitSettings(0.3, 0.3)
    assert split_identities(MANY, settings, 0) != split_identities(MANY, settings, 1)


@pytest.mark.parametrize("seed", range(10))
def test_few_identities_fill_every_split(seed: int) -> None:
    splits = split_identities(["a", "b", "c"], SplitSettings(), seed)
    assert sorted(splits.values()) == sorted(SPLITS)


@pytest.mark.parametrize("seed", range(10))
def test_somebody_is_always_left_to_train_on(seed: int) -> None:
    assert split_identities(["a"], SplitSettings(0.5, 0.4), seed) == {"a": "train"}
    assert "train" in split_identities(["a", "b"], SplitSettings(0.5, 0.4), seed).values()


def test_splits_that_are_not_wanted_stay_empty() -> None:
    assert set(split_identities(MANY, SplitSettings(0, 0), seed=0).values()) == {"train"}


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.5, 0.5), (0, 1.2)])
def test_impossible_shares_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(ShardError, match="choose"):
        SplitSettings(*shares)
