"""The chart of an edit: asked in grey, reached in colour, axis wide enough for what was asked."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageColor

from magicface_core.aus import ACTION_UNITS, AUDelta
from magicface_core.drawing.charts import BARS_X, paint
from magicface_core.report.charts import ASKED, PORTRAIT_SIZE, edit_charts
from magicface_core.report.findings import FrameReport

SMILE = ACTION_UNITS[6]
PORTRAITS = tuple(Image.new("RGB", (PORTRAIT_SIZE, PORTRAIT_SIZE), ink) for ink in ("red", "blue"))


def chart(asked: float, reached: float | None) -> torch.Tensor:
    """[3,h,w] of an edit of AU12."""
    achieved = None if reached is None else AUDelta(AU12=reached)
    report = FrameReport(AUDelta(AU12=asked), achieved, (1.0,) * 12, 0.1, None, "no face found")
    return edit_charts([report], [PORTRAITS])[0]  # type: ignore[list-item]


def columns(picture: torch.Tensor, color: str) -> torch.Tensor:
    """The x positions, right of the words, that have a colour somewhere in the rows."""
    wanted = torch.tensor(ImageColor.getrgb(color)).view(3, 1, 1)
    found = ((picture * 255).round() == wanted).all(0)[300:]
    places = found.any(0).nonzero()[:, 0]
    return places[places >= BARS_X]


def test_asked_and_reached_lie_on_the_same_side_of_zero() -> None:
    for sign in (1, -1):
        picture = chart(4 * sign, 2 * sign)
        asked, reached = columns(picture, ASKED), columns(picture, paint(SMILE, 1))
        assert len(asked) == pytest.approx(2 * len(reached), abs=3)
        zero = 398
        assert bool(((asked - zero) * sign >= -1).all())
        assert bool(((reached - zero) * sign >= -1).all())


def test_axis_grows_with_what_was_asked() -> None:
    assert len(columns(chart(8, 0), ASKED)) == pytest.approx(
        0.8 * len(columns(chart(5, 0), ASKED)), abs=3
    )


def test_without_a_face_nothing_was_reached() -> None:
    picture = chart(4, None)
    assert len(columns(picture, ASKED))
    assert not len(columns(picture, paint(SMILE, 1)))


def test_portraits_before_and_after_are_shown() -> None:
    picture = (chart(1, 1) * 255).round()
    for ink, rgb in (("red", (255, 0, 0)), ("blue", (0, 0, 255))):
        found = (picture == torch.tensor(rgb).view(3, 1, 1)).all(0)
        assert int(found.sum()) == PORTRAIT_SIZE**2, ink


def test_portraits_of_another_shape_fit() -> None:
    report = FrameReport(AUDelta(), None, (0.0,) * 12, None, None, "no face found")
    thin = Image.new("RGB", (1, PORTRAIT_SIZE), "red"), Image.new("RGB", (PORTRAIT_SIZE, 1))
    charts = edit_charts([report, report], [thin, thin])
    assert charts.shape[:2] == (2, 3)
