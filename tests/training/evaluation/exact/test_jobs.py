"""The fixed list of edits of the synthetic protocol."""

from __future__ import annotations

from collections import Counter

from magicface_training.evaluation.exact.jobs import TWO_AU_PAIRS, synthetic_jobs
from magicface_training.evaluation.published.protocols import jobs_sha256

from magicface_core.aus import AU_ORDER, AUVector
from magicface_core.expressions.presets import load_presets

CODES = [f"AU{unit}" for unit in AU_ORDER]


def names(kind: str) -> list[str]:
    return [job.name for job in synthetic_jobs() if job.kind == kind]


def test_every_unit_alone_at_both_strengths() -> None:
    assert names("single") == [f"{code}{step}" for step in ("+4", "+2") for code in CODES]
    assert {job.strength for job in synthetic_jobs() if job.kind == "single"} == {2.0, 4.0}


def test_every_unit_is_taken_away_from_a_face_that_shows_it() -> None:
    negative = [job for job in synthetic_jobs() if job.kind == "negative"]
    assert [job.name for job in negative] == [f"{code}-4" for code in CODES]
    assert all(job.target.is_zero and not job.source.is_zero for job in negative)


def test_pairs_show_every_unit_twice_and_emotions_are_the_presets() -> None:
    assert Counter(unit for pair in TWO_AU_PAIRS for unit in pair) == dict.fromkeys(AU_ORDER, 2)
    assert len(names("two")) == len(set(TWO_AU_PAIRS)) == 12
    assert names("emotion") == list(load_presets())


def test_names_are_unique_and_no_edit_leaves_the_scale() -> None:
    jobs = synthetic_jobs()
    assert len({job.name for job in jobs}) == len(jobs) == 54
    assert all(job.target - job.source == job.delta for job in jobs)
    assert [job.source == AUVector() for job in jobs].count(False) == 12


def test_the_list_is_fixed() -> None:
    """Another list is another protocol: raise PROTOCOL_VERSION with it."""
    assert jobs_sha256(synthetic_jobs()) == jobs_sha256(synthetic_jobs())
    assert jobs_sha256(synthetic_jobs())[:12] == "bb172a348edd"
