"""Which seeds are for testing, validating and training: fixed for good, so results compare."""

from __future__ import annotations

from typing import Literal, get_args

from magicface_core.errors import MagicFaceError

Split = Literal["test", "validation", "train"]

VALIDATION_START = 10_000
TRAIN_START = 20_000
SEEDS_END = 1 << 31


def split_of(seed: int) -> Split:
    """Split of a seed: test 0..9,999, validation 10,000..19,999, train from 20,000."""
    if not 0 <= seed < SEEDS_END:
        raise MagicFaceError(f"seed {seed} is not allowed; choose one within 0..{SEEDS_END - 1}")
    if seed < VALIDATION_START:
        return "test"
    return "validation" if seed < TRAIN_START else "train"


def split_seeds(split: Split, start: int = 0, count: int | None = None) -> range:
    """``count`` seeds of a split from its ``start``-th on (default: all that are left)."""
    ranges = {
        "test": range(VALIDATION_START),
        "validation": range(VALIDATION_START, TRAIN_START),
        "train": range(TRAIN_START, SEEDS_END),
    }
    if split not in ranges:
        raise MagicFaceError(f"no split {split!r}; choose one of {', '.join(get_args(Split))}")
    seeds = ranges[split]
    count = len(seeds) - start if count is None else count
    if start < 0 or count < 0 or start + count > len(seeds):
        raise MagicFaceError(
            f"split {split} has {len(seeds)} seeds, but {count} from {start} on were asked for; "
            "ask for fewer or start earlier"
        )
    return seeds[start : start + count]
