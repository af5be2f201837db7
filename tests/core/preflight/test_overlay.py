"""The picture of a preflight: of one size whatever was found, with the marks in their place."""

from __future__ import annotations

import torch

from magicface_core.pictures.crop import Crop
from magicface_core.preflight.overlay import preflight_pictures, worst_frames
from magicface_core.preflight.report import PreflightReport
from magicface_core.preflight.rules import BLACK_AREAS, BLUR, NO_FACE, RULES, YAW

SIZE = (400, 300)
FINE = PreflightReport(tuple(rule.check(rule.allowed[0]) for rule in RULES), SIZE)
NOBODY = PreflightReport((NO_FACE.check(0),), SIZE)
MANY = PreflightReport(
    tuple(rule.check(1e6 if rule.name != "face width" else 1) for rule in RULES), SIZE
)


def grey(frames: int = 1) -> torch.Tensor:
    return torch.full((frames, 3, SIZE[1], SIZE[0]), 0.5)


def test_all_pictures_have_one_size() -> None:
    drawn = preflight_pictures(grey(3), [FINE, NOBODY, MANY])
    assert drawn.shape[:2] == (3, 3)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) <= 1
    assert not torch.equal(drawn[0], drawn[1])
    one = preflight_pictures(torch.rand(1, 3, 900, 200), [NOBODY])
    assert one.shape[-2:] == drawn.shape[-2:]


def test_marks_are_tinted_where_they_are() -> None:
    marks = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
    marks[..., :128] = True  # the square's left half
    square = Crop((200, 150), 200, SIZE)
    report = PreflightReport(FINE.checks, SIZE, square=square, marks=marks)
    drawn = preflight_pictures(grey(), [report])[0, :, :420]
    red = (drawn[0] - drawn[2]) > 0.2
    assert red.any()
    # The picture is 560 x 420 here, in the middle of 640: 1.4 of its own pixels.
    columns = torch.nonzero(red.any(0))
    assert abs(int(columns.min()) - (40 + 1.4 * 100)) < 5
    assert abs(int(columns.max()) - (40 + 1.4 * 200)) < 5


def test_of_many_frames_the_worst_are_drawn_in_their_order() -> None:
    warned = PreflightReport((YAW.check(40), BLUR.check(2)), SIZE)
    once = PreflightReport((BLACK_AREAS.check(10),), SIZE)
    reports = [FINE, once, FINE, NOBODY, warned, FINE]
    assert worst_frames(reports, 3) == [1, 3, 4]
    assert worst_frames(reports, 1) == [3]
    assert preflight_pictures(grey(40), [FINE] * 40).shape[0] == 16
