"""Training, validation and test: by identity, never by frame.

An identity's split is decided by a hash of its name and the seed, so it stays where it is when
videos are added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from .errors import ShardError

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True)
class SplitSettings:
    """Shares of the identities; the rest is for training.

    validation  share 0..1 of the identities for validation
    test        share 0..1 of the identities for testing
    """

    validation: float = 0.05
    test: float = 0.05

    def __post_init__(self) -> None:
        for name in (VALIDATION, TEST):
            if not 0 <= getattr(self, name) <= 1:
                raise ShardError(f"The share for {name} is {getattr(self, name)}; choose 0 to 1.")
        if self.validation + self.test >= 1:
            raise ShardError(
                f"Shares {self.validation} for validation and {self.test} for test leave nothing "
                "to train on; choose smaller ones."
            )


def split_identities(
    identities: Iterable[str], settings: SplitSettings, seed: int
) -> dict[str, str]:
    """The split of each identity.

    Where chance leaves a wanted split empty, it gets the training identity that was nearest to it,
    as long as one stays for training.
    """
    places = {name: _place(name, seed) for name in sorted(set(identities))}
    splits = {name: _split_at(place, settings) for name, place in places.items()}
    for split in (VALIDATION, TEST):
        left = [name for name in splits if splits[name] == TRAIN]
        if getattr(settings, split) > 0 and split not in splits.values() and len(left) > 1:
            splits[min(left, key=lambda name: places[name])] = split
    if splits and TRAIN not in splits.values():
        splits[max(splits, key=lambda name: places[name])] = TRAIN
    return splits


def _split_at(place: float, settings: SplitSettings) -> str:
    if place < settings.validation:
        return VALIDATION
    return TEST if place < settings.validation + settings.test else TRAIN


def _place(identity_id: str, seed: int) -> float:
    """A number 0..1 that identity and seed alone decide."""
    digest = hashlib.sha256(f"{seed}\n{identity_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
