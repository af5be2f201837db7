"""MagicFace-387-v1 is fixed for good; the job lists follow from it."""

from __future__ import annotations

from itertools import combinations

import pytest
from magicface_training.evaluation.published.combinations import (
    COMBINATIONS_NOTICE,
    PROTOTYPES,
    combination_deltas,
    frequent_sets,
    unit_sets,
)
from magicface_training.evaluation.published.protocols import (
    LEVELS,
    PLANS,
    combination_jobs,
    jobs_sha256,
    single_jobs,
)

from magicface_core.aus import AU_ORDER

PINNED = "9489cbe9a3e333f8855fc1d0ff1e3a4dcd5c03b7030166cc72c62d8875006895"


def test_the_published_list_never_changes() -> None:
    assert jobs_sha256(combination_jobs(387)) == PINNED


def test_all_pairs_all_triples_and_101_larger_sets() -> None:
    sets = unit_sets()
    assert len(sets) == len(set(sets)) == 387
    assert sets[:66] == tuple(combinations(AU_ORDER, 2))
    assert sets[66:286] == tuple(combinations(AU_ORDER, 3))
    assert sets[286:] == frequent_sets()
    assert {len(units) for units in frequent_sets()} == {4, 5, 6}


def test_frequent_sets_hold_a_whole_prototype() -> None:
    for units in frequent_sets():
        assert any(
            set(core) <= set(units) <= {*core, *joining} for core, joining in PROTOTYPES.values()
        ), units


def test_changes_are_signed_and_within_the_scale() -> None:
    values = [value for delta in combination_deltas() for value in delta.values if value]
    assert {abs(value) for value in values} == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert 0.2 < sum(value < 0 for value in values) / len(values) < 0.3


def test_paper_protocol_has_447_edits_for_20_identities() -> None:
    plan = PLANS["paper"]
    assert (len(plan.jobs), plan.identities) == (447, 20)
    assert LEVELS == (1, 3, 5, 7, 9)
    assert [job.name for job in plan.jobs[:6]] == [
        "AU1+1", "AU1+3", "AU1+5", "AU1+7", "AU1+9", "AU2+1",
    ]  # fmt: skip
    assert COMBINATIONS_NOTICE in plan.about
    assert "not the paper's set" in COMBINATIONS_NOTICE


@pytest.mark.parametrize(("name", "edits"), [("quick", 30), ("single-au", 60)])
def test_smaller_protocols_are_parts_of_the_paper_s(name: str, edits: int) -> None:
    jobs = PLANS[name].jobs
    assert len(jobs) == edits
    assert set(jobs) <= set(PLANS["paper"].jobs)


def test_names_of_jobs_are_unique_and_their_hash_sees_order() -> None:
    jobs = PLANS["paper"].jobs
    assert len({job.name for job in jobs}) == len(jobs)
    assert jobs_sha256(jobs) != jobs_sha256(jobs[::-1])
    assert jobs_sha256(single_jobs((1.0,))) != jobs_sha256(single_jobs((3.0,)))
