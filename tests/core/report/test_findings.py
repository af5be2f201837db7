"""Measurements of one frame in words."""

from __future__ import annotations

import pytest

from magicface_core.aus import AUDelta
from magicface_core.report.background import BackgroundError
from magicface_core.report.findings import FrameReport, findings

SURE = (0.8,) * 12
ASKED, REACHED = AUDelta(AU4=-2, AU6=2, AU12=4), AUDelta(AU4=-0.5, AU6=-0.1, AU12=3, AU1=1)
MEASURED = FrameReport(ASKED, REACHED, SURE, 0.31, BackgroundError(0.01, 0.2))


def test_units_that_went_the_way_asked_are_counted() -> None:
    assert MEASURED.followed == (2, 3)
    assert findings(MEASURED)["expression"] == "2 of 3 changes went the way asked"
    nothing = FrameReport(AUDelta(), REACHED, SURE, 0.0, None)
    assert nothing.followed == (0, 0)
    assert findings(nothing)["expression"] == "no change was asked"


@pytest.mark.parametrize(
    ("distance", "same", "words"),
    [
        (0.31, True, "same person, distance 0.31 (below 0.6)"),
        (0.6, False, "perhaps another person, distance 0.60 (not below 0.6)"),
        (None, None, "not measured"),
    ],
)
def test_identity(distance: float | None, same: bool | None, words: str) -> None:
    report = FrameReport(ASKED, REACHED, SURE, distance, None)
    assert report.same_person is same
    assert findings(report)["identity"] == words


@pytest.mark.parametrize(
    ("background", "words"),
    [
        (BackgroundError(0.01, 0.2), "off by 2.55 of 255 (root mean square)"),
        (BackgroundError(0.0, 0.0), "unchanged, every pixel"),
        (None, "not measured without a mask of what was edited"),
    ],
)
def test_background(background: BackgroundError | None, words: str) -> None:
    assert findings(FrameReport(ASKED, REACHED, SURE, 0.1, background))["background"] == words


def test_missing_faces_are_said() -> None:
    report = FrameReport(ASKED, None, (0.0,) * 12, None, None, "no face found in the original")
    assert report.followed is None
    assert findings(report)["expression"] == "no face found in the original"
