from __future__ import annotations

import pytest
from magicface_training.synthetic import split_of, split_seeds

from magicface_core.errors import MagicFaceError


@pytest.mark.parametrize(
    ("seed", "split"),
    [
        (0, "test"),
        (9_999, "test"),
        (10_000, "validation"),
        (19_999, "validation"),
        (20_000, "train"),
        (2**31 - 1, "train"),
    ],
)
def test_splits_are_fixed_for_good(seed: int, split: str) -> None:
    assert split_of(seed) == split


def test_seeds_of_a_split_belong_to_it() -> None:
    for split, first in (("test", 0), ("validation", 10_000), ("train", 20_000)):
        seeds = split_seeds(split, 5, 100)
        assert seeds == range(first + 5, first + 105)
        assert {split_of(seed) for seed in seeds} == {split}
    assert len(split_seeds("test")) == 10_000


@pytest.mark.parametrize(
    "arguments", [("test", 9_990, 11), ("test", -1, 5), ("train", 0, -1), ("tset", 0, 1)]
)
def test_seeds_outside_a_split_are_refused(arguments: tuple) -> None:
    with pytest.raises(MagicFaceError, match=arguments[0]):
        split_seeds(*arguments)


def test_impossible_seeds_are_refused() -> None:
    with pytest.raises(MagicFaceError, match="-1"):
        split_of(-1)
