"""Tracks follow places and persons, and end at cuts."""

from __future__ import annotations

import numpy as np
import pytest
from magicface_training.videos.tracking import MOST_ABSENT, Tracker, overlap

HERE, NEAR, FAR = (np.array([x, 0.0, x + 100, 100]) for x in (0.0, 30.0, 400.0))


def person(number: int, towards: int | None = None, share: float = 0.0) -> np.ndarray:
    """A unit embedding; two persons are 1.41 apart."""
    vector = np.zeros(128)
    vector[number] = 1 - share
    if towards is not None:
        vector[towards] = share
    return vector


def test_overlap_is_intersection_over_union() -> None:
    assert overlap(HERE, HERE) == 1
    assert overlap(HERE, FAR) == 0
    assert overlap(HERE, NEAR) == pytest.approx(70 / 130)


def test_faces_that_change_places_keep_their_tracks() -> None:
    tracker = Tracker()
    assert tracker.link(0, 0.0, [HERE, FAR], [person(0), person(1)]) == [0, 1]
    assert tracker.link(0, 0.5, [FAR, HERE], [person(0), person(1)]) == [0, 1]
    assert tracker.link(0, 1.0, [HERE], [person(1)]) == [1]


def test_a_face_that_looks_less_alike_must_be_at_the_same_place() -> None:
    altered = person(0, 1, 0.4)  # 0.57 away
    assert np.linalg.norm(person(0) - altered) == pytest.approx(0.57, abs=0.01)
    for box, track in ((NEAR, 0), (FAR, 1)):
        tracker = Tracker()
        tracker.link(0, 0.0, [HERE], [person(0)])
        assert tracker.link(0, 0.5, [box], [altered]) == [track]


def test_another_person_at_the_same_place_is_another_track() -> None:
    tracker = Tracker()
    tracker.link(0, 0.0, [HERE], [person(0)])
    assert tracker.link(0, 0.5, [HERE], [person(1)]) == [1]


def test_tracks_end_at_cuts_and_after_long_absence() -> None:
    tracker = Tracker()
    tracker.link(0, 0.0, [HERE], [person(0)])
    assert tracker.link(1, 0.5, [HERE], [person(0)]) == [1]
    assert tracker.link(1, 0.5 + MOST_ABSENT, [HERE], [person(0)]) == [1]
    assert tracker.link(1, 1.0 + 2 * MOST_ABSENT, [HERE], [person(0)]) == [2]


def test_one_track_takes_one_face_of_a_frame() -> None:
    tracker = Tracker()
    tracker.link(0, 0.0, [HERE], [person(0)])
    assert sorted(tracker.link(0, 0.5, [HERE, NEAR], [person(0, 1, 0.1), person(0)])) == [0, 1]


def test_main_person_is_whom_the_longest_track_shows() -> None:
    tracker = Tracker()
    assert tracker.main_person() == frozenset()
    for time in (0.0, 0.5, 1.0):
        tracker.link(0, time, [HERE], [person(0)])
    tracker.link(1, 1.5, [HERE, FAR], [person(1), person(0, 1, 0.2)])
    assert tracker.main_person() == {0, 2}
