"""web/face.mjs: what each AU moves in the drawing, without ComfyUI."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from magicface_core.aus import ACTION_UNITS, DEMO_EDITS

if TYPE_CHECKING:
    from playwright.sync_api import Page

CODES = [unit.code for unit in ACTION_UNITS]
DRAW = "async (values) => (await import('/face.mjs')).drawFace(values)"
VALUES = (-10, -5, -2, -0.1, 0.1, 2, 5, 10)


def draw(page: Page, **values: Any) -> dict[str, Any]:
    face: dict[str, Any] = page.evaluate(DRAW, values)
    return face


def numbers(path: str) -> list[float]:
    return [float(text) for text in re.findall(r"-?\d+\.?\d*", path)]


def span(path: str) -> float:
    """Height of a path's points."""
    heights = numbers(path)[1::2]
    return max(heights) - min(heights)


def test_action_units_are_those_of_the_library_in_their_order(module_page: Page) -> None:
    assert module_page.evaluate("async () => (await import('/face.mjs')).AU_CODES") == CODES
    assert sorted(draw(module_page)["anchors"]) == sorted(CODES)
    regions = module_page.evaluate("async () => (await import('/regions.mjs')).REGIONS")
    assert list(regions) == CODES


@pytest.mark.parametrize("code", CODES)
def test_each_value_of_an_au_gives_another_valid_drawing(module_page: Page, code: str) -> None:
    faces = [draw(module_page, **{code: value}) for value in (0, *VALUES)]
    assert len({str(face) for face in faces}) == len(faces)
    for face in faces:
        assert "NaN" not in str(face)
        assert "None" not in str(face)
        assert all(0 <= opacity <= 1 for opacity in face["opacities"].values())


@pytest.mark.parametrize("value", [-10, 0, 10])
def test_the_drawing_is_symmetric_and_inside_its_frame(module_page: Page, value: float) -> None:
    face = draw(module_page, **dict.fromkeys(CODES, value))
    box = module_page.evaluate("async () => (await import('/face.mjs')).VIEW_BOX")
    left, right = numbers(face["paths"]["leftEye"]), numbers(face["paths"]["rightEye"])
    assert [240 - x for x in left[::2]] == pytest.approx(right[::2], abs=0.011)
    assert left[1::2] == right[1::2]
    for anchor in face["anchors"].values():
        assert 120 + anchor["dx"] < box["x"] + box["width"]
        assert box["y"] < anchor["y"] < box["y"] + box["height"]


@pytest.mark.parametrize(
    ("code", "across", "down"),
    [
        ("AU1", 0, -1),
        ("AU2", 0, -1),
        ("AU4", 0, 1),
        ("AU5", 0, -1),
        ("AU6", 0, -1),
        ("AU9", 0, -1),
        ("AU12", 1, -1),
        ("AU15", 1, 1),
        ("AU17", 0, -1),
        ("AU20", 1, 0),
        ("AU25", 0, 1),
        ("AU26", 0, 1),
    ],
)
def test_a_handle_follows_its_feature(module_page: Page, code: str, across: int, down: int) -> None:
    """Towards more where the feature goes when its muscle contracts, and back for less."""
    rest = draw(module_page)["anchors"][code]
    more = draw(module_page, **{code: 4})["anchors"][code]
    assert (more["dx"] > rest["dx"]) is (across > 0)
    assert (more["y"] - rest["y"]) * down > 2 or down == 0
    if code != "AU25":  # lips cannot part less than closed; they are pressed instead
        less = draw(module_page, **{code: -4})["anchors"][code]
        assert (less["y"] - rest["y"]) * down < 0 or down == 0


def test_eyes_widen_and_narrow(module_page: Page) -> None:
    rest, wide, narrow, sleepy = (
        span(draw(module_page, **values)["paths"]["leftEye"])
        for values in ({}, {"AU5": 4}, {"AU6": 4}, {"AU5": -4})
    )
    assert narrow < 0.75 * rest < rest < 1.2 * rest < wide
    assert sleepy < 0.75 * rest


def test_lines_appear_with_their_expression(module_page: Page) -> None:
    rest = draw(module_page)["opacities"]
    for line, edit in [
        ("frownLines", {"AU4": 4}),
        ("foreheadLines", DEMO_EDITS["surprise"].as_dict()),
        ("noseWrinkles", {"AU9": 4}),
        ("crowsFeet", DEMO_EDITS["smile"].as_dict()),
        ("chinBoss", {"AU17": 4}),
        ("teeth", {"AU25": 4}),
        ("tongue", {"AU26": 5}),
    ]:
        assert rest[line] == 0
        assert draw(module_page, **edit)["opacities"][line] > 0.5, line


def test_brows_come_together_in_a_frown(module_page: Page) -> None:
    rest, frown = (draw(module_page, AU4=value)["paths"]["brows"] for value in (0, 5))
    gaps = [min(x for x in numbers(path)[::2] if x > 120) - 120 for path in (rest, frown)]
    assert gaps[1] < gaps[0] - 3


def test_pressed_lips_are_thinner(module_page: Page) -> None:
    rest, pressed = (draw(module_page, AU25=value)["paths"]["lips"] for value in (0, -5))
    assert span(pressed) < 0.75 * span(rest)


def test_values_that_are_no_numbers_or_too_large_do_no_harm(module_page: Page) -> None:
    rest = draw(module_page)
    assert draw(module_page, AU12="much", AU1=None, AU99=3) == rest
    assert draw(module_page, AU12=1000) == draw(module_page, AU12=10)
    assert module_page.evaluate(f"() => ({DRAW})({{AU12: NaN}})") == rest
