"""Animations towards an expression and ranges of action units."""

from __future__ import annotations

import math

import pytest

from magicface_core.aus import AUDelta
from magicface_core.errors import AUError
from magicface_core.expressions.animation import EASINGS, animate, sweep

SMILE = AUDelta(AU6=2, AU12=4)


def strengths(played: tuple[AUDelta, ...], unit: str = "AU12") -> list[float]:
    return [delta.as_dict().get(unit, 0.0) for delta in played]


# --- animations -------------------------------------------------------------------------------


def test_linear_movement_ends_on_the_target() -> None:
    played = animate([SMILE], frames=4)
    assert strengths(played) == [1, 2, 3, 4]
    assert strengths(played, "AU6") == [0.5, 1, 1.5, 2]
    assert played[-1] == SMILE


@pytest.mark.parametrize("easing", EASINGS)
def test_every_easing_rises_from_start_to_target(easing: str) -> None:
    values = strengths(animate([SMILE], frames=20, easing=easing))
    assert values == sorted(values)
    assert 0 < values[0] < 0.5 * 4
    assert values[-1] == 4


def test_easings_differ_where_their_names_say() -> None:
    early, late = {}, {}
    for easing in EASINGS:
        values = strengths(animate([SMILE], frames=10, easing=easing))
        early[easing], late[easing] = values[0], 4 - values[-2]
    assert early["ease in"] < early["linear"] < early["ease out"]
    assert late["ease out"] < late["linear"] < late["ease in"]
    assert early["ease in and out"] == pytest.approx(late["ease in and out"])
    assert early["ease in and out"] < early["linear"]


def test_hold_and_way_back() -> None:
    played = animate([SMILE], frames=2, hold=3, and_back=True)
    assert strengths(played) == [2, 4, 4, 4, 4, 2, 0]
    assert played[-1].is_zero


def test_movement_goes_on_from_what_has_played() -> None:
    before = animate([SMILE], frames=2)
    frown = AUDelta(AU4=4)
    played = animate([frown], frames=2, before=before, and_back=True)
    assert played[:2] == before
    assert played[2:4] == (AUDelta(AU4=2, AU6=1, AU12=2), frown)
    assert played[-1] == SMILE


def test_target_of_several_frames_counts_by_its_last() -> None:
    assert animate([AUDelta(AU1=1), SMILE], frames=1) == (SMILE,)
    assert animate([SMILE], frames=1, before=()) == (SMILE,)


def test_values_stay_short_and_inside_the_limits() -> None:
    start, end = AUDelta(AU12=-10), AUDelta(AU12=10)
    played = animate([end], frames=7, easing="ease in and out", before=[start])
    assert all(value == round(value, 4) for value in strengths(played))
    assert (played[0], played[-1]) == (start, end)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"target": []}, "no expression to move to"),
        ({"easing": "bounce"}, "bounce.*linear, ease in"),
        ({"frames": 0}, "at least 1 frame"),
        ({"hold": -1}, "0 or more to hold"),
    ],
)
def test_impossible_animations(words: dict[str, object], message: str) -> None:
    with pytest.raises(AUError, match=message):
        animate(**{"target": [SMILE], "frames": 3} | words)  # type: ignore[arg-type]


# --- sweeps -----------------------------------------------------------------------------------


def test_sweep_is_even_and_includes_both_ends() -> None:
    assert strengths(sweep(("AU12 Lip Corner Puller", -1, 2, 4))) == [-1, 0, 1, 2]
    assert strengths(sweep(("au12", 5, 0, 6))) == [5, 4, 3, 2, 1, 0]


def test_grid_is_row_by_row() -> None:
    cells = sweep(("AU12", 0, 2, 3), ("AU4 Brow Lowerer", -1, 1, 2))
    assert strengths(cells) == [0, 1, 2, 0, 1, 2]
    assert strengths(cells, "AU4") == [-1, -1, -1, 1, 1, 1]


def test_every_cell_has_the_base_besides() -> None:
    cells = sweep(("AU12", 0, 8, 2), base=[AUDelta(AU1=2, AU12=4)])
    assert cells == (AUDelta(AU1=2, AU12=4), AUDelta(AU1=2, AU12=10))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((("AU12", 0, 12, 3),), "-10 to 10"),
        ((("AU12", math.nan, 1, 3),), "finite"),
        ((("AU7 Lid Tightener", 0, 1, 3),), "AU7 is not one of the twelve"),
        ((("", 0, 1, 3),), "not one of the twelve"),
        ((("AU12", 0, 1, 1),), "at least 2"),
        ((("AU12", 0, 1, 2), ("AU12 Lip Corner Puller", 0, 1, 2)), "AU12 is swept twice"),
    ],
)
def test_impossible_sweeps(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(AUError, match=message):
        sweep(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [0, 2])
def test_sweep_adds_to_a_single_delta(count: int) -> None:
    with pytest.raises(AUError, match=f"not to {count} frames.*single delta"):
        sweep(("AU12", 0, 1, 2), base=[AUDelta()] * count)
