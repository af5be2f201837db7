"""The order of a run: a function of seed and counter."""

from __future__ import annotations

from itertools import pairwise

import pytest
from magicface_training.data.order import Split, generator_seed, unit_at


@pytest.mark.parametrize("shards", [(), (4, 1, 6)])
def test_every_epoch_holds_each_unit_once(shards: tuple[int, ...]) -> None:
    epochs = [[unit_at(11 * epoch + i, 11, 3, shards) for i in range(11)] for epoch in range(4)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(11))
    assert len({tuple(epoch) for epoch in epochs}) == 4


def test_order_depends_on_the_seed_alone() -> None:
    first = [unit_at(i, 50, 0) for i in range(50)]
    assert [unit_at(i, 50, 0) for i in reversed(range(50))] == first[::-1]
    assert [unit_at(i, 50, 1) for i in range(50)] != first


def test_sharded_order_reads_one_shard_after_another() -> None:
    shards, starts = (4, 1, 6), (0, 4, 5)
    orders = set()
    for epoch in range(20):
        units = [unit_at(11 * epoch + i, 11, 0, shards) for i in range(11)]
        visited = [max(s for s in range(3) if starts[s] <= unit) for unit in units]
        assert sum(a != b for a, b in pairwise(visited)) == 2
        orders.add(tuple(dict.fromkeys(visited)))
    assert len(orders) > 3


def test_seeds_differ_by_run_position_and_purpose() -> None:
    seeds = {generator_seed(s, p, w) for s in (0, 1) for p in (0, 1, 2**40) for w in ("a", "b")}
    assert len(seeds) == 12
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert generator_seed(5, 7, "noise") == generator_seed(5, 7, "noise")


@pytest.mark.parametrize(
    ("identities", "processes", "accumulation"), [(4, 1, 1), (1, 4, 1), (2, 1, 2), (1, 2, 2)]
)
def test_any_division_of_a_step_has_the_same_positions(
    identities: int, processes: int, accumulation: int
) -> None:
    for step in (0, 3):
        positions = [
            position
            for micro in range(accumulation)
            for process in range(processes)
            for position in Split(identities, processes, process, accumulation).positions(
                step * accumulation + micro
            )
        ]
        assert positions == list(range(4 * step, 4 * step + 4))
