"""Preflight: every check notices what it is for on real pixels, and a good portrait passes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

import magicface_core
from magicface_core.errors import ImageError
from magicface_core.framing.crops import crop_faces
from magicface_core.framing.framing import Framing
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image, to_tensor
from magicface_core.pictures.resampling import gaussian_blur, resample
from magicface_core.preflight.checks import (
    PreflightReport,
    frames_text,
    preflight,
    preflight_frames,
)
from magicface_core.preflight.rules import (
    BLUR,
    FACE_SHARE,
    FACE_WIDTH,
    RULES,
    SEVERAL_FACES,
    YAW,
    framed,
)

PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"


@pytest.fixture(scope="module")
def portrait() -> Tensor:
    """The packaged portrait [1,3,512,512], a face 256 pixels wide in its middle."""
    return to_tensor(load_image(PORTRAIT))


@pytest.fixture(scope="module")
def good(portrait: Tensor, perception: Perception) -> PreflightReport:
    return preflight(portrait, perception)


def levels(report: PreflightReport) -> dict[str, str]:
    """What is not ok."""
    return {check.name: check.level for check in report.checks if check.level != "ok"}


def with_black_bars(picture: Tensor, pixels: int) -> Tensor:
    barred = picture.clone()
    barred[..., :pixels] = 0
    barred[..., -pixels:] = 0
    return barred


def reduced(picture: Tensor, size: int) -> Tensor:
    scale = picture.shape[-1] / size
    return resample(picture, np.diag([scale, scale, 0.0])[:2], (size, size))


def with_glasses(picture: Tensor, report: PreflightReport) -> Tensor:
    """Dark rims around both eyes and a bridge between them."""
    assert report.face is not None
    (left, right), unit = report.face.points5[:2], float(np.ptp(report.face.points5[:2, 0]))
    rows, columns = np.mgrid[: picture.shape[-2], : picture.shape[-1]] + 0.5
    rims = np.zeros(rows.shape, bool)
    for x, y in (left, right):
        radius = np.hypot((columns - x) / 0.42, (rows - y - 0.06 * unit) / 0.34)
        rims |= np.abs(radius - unit) < 0.06 * unit
    between = (columns > left[0] + 0.4 * unit) & (columns < right[0] - 0.4 * unit)
    rims |= between & (np.abs(rows - left[1]) < 0.025 * unit)
    return torch.where(torch.from_numpy(rims), 0.1, picture)


def with_mask(picture: Tensor, report: PreflightReport) -> Tensor:
    """Light blue over mouth and chin."""
    assert report.face is not None
    nose, mouth = report.face.points5[2, 1], report.face.points5[3:, 1].mean()
    top, bottom = int((nose + mouth) / 2), int(mouth + (mouth - nose))
    masked = picture.clone()
    masked[..., top:bottom, 130:380] = torch.tensor([0.45, 0.65, 0.8]).view(1, 3, 1, 1)
    return masked


def test_a_good_portrait_passes(good: PreflightReport) -> None:
    assert levels(good) == {}
    assert good.ok
    assert [check.name for check in good.checks] == [rule.name for rule in RULES]
    assert "nothing to complain about" in good.to_text()


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda p, _: with_black_bars(p, 15), {"black areas": "warning"}),
        (lambda p, _: with_black_bars(p, 80), {"black areas": "problem"}),
        (lambda p, _: gaussian_blur(p, 2.6), {"blur": "warning"}),
        (lambda p, _: gaussian_blur(p, 4.5), {"blur": "problem"}),
        (lambda p, _: reduced(p, 200), {"face width": "warning"}),
        (lambda p, _: p * 0.35, {"brightest part": "warning"}),
        (lambda p, _: (p * 2).clamp(0, 1), {"burnt out": "problem"}),
        (lambda p, _: torch.cat([p, p], -1), {"several faces": "warning"}),
        (with_glasses, {"glasses": "warning"}),
        (with_mask, {"covered": "warning"}),
        (lambda p, _: p[..., 60:440, 100:400], {"face share": "warning"}),
    ],
)
def test_each_check_notices_what_it_is_for(
    portrait: Tensor, good: PreflightReport, perception: Perception, spoil, expected
) -> None:
    report = preflight(spoil(portrait, good), perception)
    found = levels(report)
    assert expected.items() <= found.items(), report.to_text()
    assert report.ok == ("problem" not in found.values())


def test_a_face_cut_by_the_edge(portrait: Tensor, perception: Perception) -> None:
    report = preflight(portrait[..., :350, :], perception)
    assert "cut off" in levels(report), report.to_text()


def test_a_tilted_picture(portrait: Tensor, perception: Perception) -> None:
    angle = np.radians(35)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix = np.column_stack([turn, np.full(2, 256) - turn @ np.full(2, 256)])
    found = levels(preflight(resample(portrait, matrix, (512, 512)), perception))
    assert found["roll"] == "warning"


@pytest.mark.parametrize("shape", [(240, 320), (1, 1), (3, 900)])
@pytest.mark.parametrize("level", [0.0, 0.5])
def test_no_face_is_a_problem_and_no_error(
    perception: Perception, shape: tuple[int, int], level: float
) -> None:
    report = preflight(torch.full((1, 3, *shape), level), perception)
    assert levels(report) == {"face": "problem"}
    assert (report.face, report.number, report.marks) == (None, None, None)
    assert "No face was found" in report.to_text()


def test_a_number_too_high_says_how_many_there_are(
    portrait: Tensor, perception: Perception
) -> None:
    report = preflight(portrait, perception, face=2)
    assert levels(report) == {"face": "problem"}
    assert "1 face (allowed: at least 3)" in report.to_text()


def test_order_and_number_choose_the_face(group: Tensor, perception: Perception) -> None:
    widths = {
        (order, face): next(
            check.value
            for check in preflight(group, perception, face=face, order=order).checks
            if check.name == "face width"
        )
        for order, face in (("largest first", 0), ("top to bottom", 0), ("left to right", 2))
    }
    assert widths["left to right", 2] == widths["largest first", 0]
    assert widths["top to bottom", 0] < widths["largest first", 0]
    with pytest.raises(ImageError, match="Unknown order"):
        preflight(group, perception, order="prettiest first")


def test_the_framing_of_a_checkpoint_says_how_much_room_a_face_needs() -> None:
    assert FACE_SHARE.check(70).level == "warning"
    assert framed(FACE_SHARE, 0.6).check(70).level == "ok"


def test_crops_say_which_face_and_which_framing(group: Tensor, perception: Perception) -> None:
    frames = group.expand(2, -1, -1, -1)
    small = crop_faces(group, perception, Framing(face_fraction=0.6), order="top to bottom")
    reports = preflight_frames(frames, perception, crops=small.crops)
    assert len(reports) == 2
    assert reports[0].square == small.crops.frames[0].crop
    assert reports[0].number == 2
    with pytest.raises(ImageError, match=r"900 x 640.*450 x 640"):
        preflight_frames(frames[..., ::2], perception, crops=small.crops)


def test_frames_are_checked_one_by_one(portrait: Tensor, perception: Perception) -> None:
    frames = torch.cat([portrait, torch.zeros_like(portrait)])
    reports = preflight_frames(frames, perception)
    assert [report.ok for report in reports] == [True, False]
    text = frames_text(reports)
    assert text.startswith("frame 0: 512 x 512")
    assert "frame 1: 512 x 512 pixels: 1 problem" in text


def test_json_is_plain(good: PreflightReport) -> None:
    content = json.loads(json.dumps(good.to_json(), allow_nan=False))
    assert content["format"] == "magicface-preflight"
    assert (content["faces"], content["face"], content["ok"]) == (1, 0, True)
    width = next(check for check in content["checks"] if check["name"] == "face width")
    assert width["value"] == pytest.approx(256, abs=5)
    assert width["allowed"] == [115, None]
    assert all(check["fix"].endswith(".") and check["meaning"] for check in content["checks"])


def test_values_and_limits_in_words() -> None:
    assert SEVERAL_FACES.check(1).measured == "1 face"
    assert SEVERAL_FACES.check(2).limits == "1"
    assert YAW.check(-31.2).measured == "-31 degrees"
    assert YAW.check(-31.2).limits == "-30 to 30"
    assert BLUR.check(0.04).measured == "0 pixels"
    assert FACE_WIDTH.check(64).level == "warning"
    assert FACE_WIDTH.check(63).level == "problem"
    assert FACE_WIDTH.check(63).limits == "at least 115"
