"""Which unit comes when: a function of the run's seed and a counter, with no state to save.

A run consumes units (identity images with their targets) at positions 0, 1, 2, ... Whoever asks
for a position gets the same unit and the same random numbers, so that resuming, more workers or
another split over processes and accumulated batches changes nothing.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass

import numpy as np

ORDER_STREAM = 41  # first word of the permutations' random stream


@dataclass(frozen=True)
class Split:
    """How one optimisation step's units are divided.

    identities   R, of one micro-batch on one process
    processes    of the whole run
    process      this one, from 0
    accumulation micro-batches of one step
    """

    identities: int
    processes: int = 1
    process: int = 0
    accumulation: int = 1

    def positions(self, number: int) -> range:
        """Positions of this process's micro-batch ``number``, counted from the run's start.

        position = step * (accumulation * processes * R) + micro * (processes * R) + process * R + r
        """
        first = (number * self.processes + self.process) * self.identities
        return range(first, first + self.identities)


def unit_at(position: int, length: int, seed: int, shards: tuple[int, ...] = ()) -> int:
    """The unit at a position of the run.

    Every epoch of ``length`` positions holds each unit once, in an order of its own. With
    ``shards``, their numbers of units in turn, an epoch goes through the shards in random order and
    through each in random order: what is streamed need not be fetched again and again.
    """
    epoch, place = divmod(position, length)
    return int(_permutation(length, seed, epoch, shards)[place])


def generator_seed(seed: int, position: int, purpose: str) -> int:
    """Seed, 0 to 2^63 - 1, of the random numbers that a position needs for one purpose."""
    word = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:4], "big")
    state = np.random.SeedSequence([seed, position, word]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


@functools.lru_cache(maxsize=2)  # a batch may lie across two epochs
def _permutation(length: int, seed: int, epoch: int, shards: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng([ORDER_STREAM, seed, epoch])
    if not shards:
        return rng.permutation(length)
    starts = np.concatenate([[0], np.cumsum(shards)])
    order = rng.permutation(len(shards))
    return np.concatenate([starts[shard] + rng.permutation(shards[shard]) for shard in order])
