"""The drawn face by itself, with a node that only exists here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from magicface_core.aus import ACTION_UNITS, AUDelta
from magicface_core.expressions.presets import load_presets

if TYPE_CHECKING:
    from playwright.sync_api import Page

CODES = [unit.code for unit in ACTION_UNITS]
BUILD = """async ([names, presets, locale]) => {
    const { FaceView } = await import('/face_view.mjs?v=' + names.version);
    const { NodeValues } = await import('/node_values.mjs?v=' + names.version);
    const { textsFor } = await import('/texts.mjs?v=' + names.version);
    const slider = (name) => ({
        name, value: 0, label: name + ' label', options: { min: -10, max: 10 }, called: [],
        callback(value) { this.called.push(value); },
    });
    window.commits = 0;
    window.node = {
        widgets: [{ name: 'preset', value: 'none' }, { name: 'strength', value: 1 },
            ...names.codes.map(slider)],
        inputs: names.codes.map((name) => ({ name, widget: { name }, link: null }))
            .concat([{ name: 'delta', link: null }]),
    };
    const app = { canvas: { emitBeforeChange() {}, emitAfterChange() { window.commits += 1; } } };
    window.values = new NodeValues(app, node, presets);
    window.view = new FaceView(values, textsFor(locale));
    window.find = (name) => node.widgets.find((widget) => widget.name === name);
    view.root.style.cssText = 'width: 380px; height: 300px';
    document.body.replaceChildren(view.root);
}"""


def build(page: Page, version: str, locale: str = "en") -> None:
    presets = {name: {"aus": preset.delta.as_dict()} for name, preset in load_presets().items()}
    page.evaluate(BUILD, [{"codes": CODES, "version": version}, presets, locale])


@pytest.fixture
def face(module_page: Page, version: str) -> Page:
    build(module_page, version)
    module_page.mouse.move(0, 590)
    return module_page


@pytest.fixture
def version() -> str:
    """Any text does here; the pack's own is checked in tests/test_web.py."""
    return "test"


def totals(page: Page) -> dict[str, float]:
    found: dict[str, float] = page.evaluate("() => values.totals()")
    return found


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("name", [name for name in load_presets() if name != "neutralise"])
def test_the_face_shows_what_the_node_computes(face: Page, name: str, strength: float) -> None:
    face.evaluate(
        "([name, strength]) => { find('preset').value = name; find('strength').value = strength;"
        " find('AU12').value = 3; find('AU4').value = -7; view.paint(); }",
        [name, strength],
    )
    expected = AUDelta(AU12=3, AU4=-7) + load_presets()[name].delta * strength
    assert totals(face) == pytest.approx(dict(zip(CODES, expected.values, strict=True)))
    shown = face.inner_text(".magicface-readout").replace("\n", " ").strip()
    assert shown == expected.label()


def test_neutralise_shows_the_sliders_alone(face: Page) -> None:
    face.evaluate("() => { find('preset').value = 'neutralise'; view.paint(); }")
    assert set(totals(face).values()) == {0}
    assert "neutralise" in face.inner_text(".magicface-readout")


def test_every_au_is_a_named_slider_for_assistive_technology(face: Page) -> None:
    for code in CODES:
        handle = face.get_by_role("slider", name=f"{code} label", exact=True)
        assert handle.get_attribute("tabindex") == "0"
        assert handle.get_attribute("aria-valuenow") == "0"
        assert handle.get_attribute("aria-valuemin") == "-10"
        assert handle.get_attribute("aria-valuemax") == "10"
    assert face.get_by_role("group", name="Face: change of expression").count() == 1


def test_keys_move_reset_and_leave(face: Page) -> None:
    handle = face.get_by_role("slider", name="AU12 label", exact=True)
    handle.focus()
    steps = [
        ("ArrowUp", 0.1),
        ("ArrowRight", 0.2),
        ("Shift+ArrowUp", 1.2),
        ("PageUp", 2.2),
        ("ArrowLeft", 2.1),
        ("ArrowDown", 2.0),
        ("PageDown", 1.0),
        ("Shift+ArrowLeft", 0.0),
        ("PageDown", -1.0),
        ("Home", 0.0),
        ("PageUp", 1.0),
        ("0", 0.0),
    ]
    for key, expected in steps:
        face.keyboard.press(key)
        assert face.evaluate("() => find('AU12').value") == expected, key
        assert float(handle.get_attribute("aria-valuenow") or "") == expected
    assert face.evaluate("() => find('AU12').called") == [value for _, value in steps]
    assert face.evaluate("() => commits") == len(steps)
    face.keyboard.press("Escape")
    assert face.evaluate("() => document.activeElement === document.body")


def test_tab_goes_through_all_aus_and_then_to_the_buttons(face: Page) -> None:
    face.get_by_role("slider", name="AU1 label", exact=True).focus()
    seen = []
    for _ in range(len(CODES) + 1):
        seen.append(
            face.evaluate(
                "() => document.activeElement.dataset.au ?? document.activeElement.dataset.action"
            )
        )
        face.keyboard.press("Tab")
    assert seen[: len(CODES)] == CODES
    assert seen[-1] in ("less", "more")


def test_a_value_stays_within_the_limits_of_the_slider(face: Page) -> None:
    face.get_by_role("slider", name="AU12 label", exact=True).focus()
    for _ in range(12):
        face.keyboard.press("PageUp")
    assert face.evaluate("() => find('AU12').value") == 10


def test_a_held_key_is_one_undo_step(face: Page) -> None:
    face.get_by_role("slider", name="AU1 label", exact=True).focus()
    for _ in range(5):
        face.keyboard.down("ArrowUp")
    face.keyboard.up("ArrowUp")
    assert face.evaluate("() => [find('AU1').value, commits]") == [0.5, 1]


def centre(page: Page, selector: str) -> tuple[float, float]:
    box = page.locator(selector).last.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    ("code", "way"),
    [
        ("AU1", (0, -12)),
        ("AU4", (0, 12)),
        ("AU12", (8, -10)),
        ("AU20", (12, 0)),
        ("AU26", (0, 12)),
    ],
)
def test_pulling_a_feature_its_own_way_gives_more(
    face: Page, code: str, way: tuple[float, float]
) -> None:
    selector = f"[data-au={code}] .magicface-dot"
    for factor, sign in ((1, 1), (-2, -1)):
        x, y = centre(face, selector)
        face.mouse.move(x, y)
        face.mouse.down()
        face.mouse.move(x + factor * way[0], y + factor * way[1], steps=4)
        face.mouse.up()
        assert face.evaluate(f"() => find('{code}').value") * sign > 1
    assert face.evaluate("() => commits") == 2


def test_escape_takes_a_pull_back(face: Page) -> None:
    x, y = centre(face, "[data-au=AU1] .magicface-dot")
    face.mouse.move(x, y)
    face.mouse.down()
    face.mouse.move(x, y - 20, steps=3)
    assert face.evaluate("() => find('AU1').value") > 1
    face.keyboard.press("Escape")
    face.mouse.move(x, y - 40, steps=3)
    face.mouse.up()
    assert face.evaluate("() => find('AU1').value") == 0


def test_click_adds_shift_click_takes_and_double_click_resets(face: Page) -> None:
    dot = centre(face, "[data-au=AU9] .magicface-dot")
    face.mouse.click(*dot)
    assert face.evaluate("() => find('AU9').value") == 1
    face.wait_for_timeout(600)
    face.keyboard.down("Shift")
    face.mouse.click(*centre(face, "[data-au=AU9] .magicface-dot"))
    face.keyboard.up("Shift")
    assert face.evaluate("() => find('AU9').value") == 0
    face.evaluate("() => { find('AU9').value = -4; view.paint(); }")
    face.wait_for_timeout(600)
    face.mouse.dblclick(*centre(face, "[data-au=AU9] .magicface-dot"))
    assert face.evaluate("() => find('AU9').value") == 0


def test_buttons_step_the_chosen_au_and_reset_all(face: Page) -> None:
    face.mouse.click(*centre(face, "[data-au=AU5] .magicface-dot"))
    for action in ("more", "more", "less"):
        face.click(f"[data-action={action}]")
    face.evaluate("() => { find('AU26').value = -2; view.paint(); }")
    assert face.evaluate("() => find('AU5').value") == 2
    face.click("[data-action=reset]")
    assert face.evaluate("() => node.widgets.slice(2).every((widget) => widget.value === 0)")
    assert face.is_disabled("[data-action=reset]")


def test_looking_at_a_region_names_it_with_its_value(face: Page) -> None:
    face.evaluate("() => { find('AU12').value = 3; find('preset').value = 'happy'; view.paint(); }")
    face.mouse.move(*centre(face, "[data-au=AU12] .magicface-dot"))
    shown = face.inner_text(".magicface-readout").split()
    assert shown == ["AU12", "label", "+3.0", "total", "+8.0"]


def test_a_slider_with_a_link_cannot_be_moved(face: Page) -> None:
    face.evaluate(
        "() => { find('AU12').value = 5; node.inputs.find((slot) => slot.name === 'AU12').link = 7;"
        " view.paint(); }"
    )
    handle = face.get_by_role("slider", name="AU12 label", exact=True)
    assert handle.get_attribute("aria-disabled") == "true"
    assert handle.get_attribute("aria-valuetext") == "set by a link"
    assert totals(face)["AU12"] == 0  # its value is known only when the graph runs
    face.mouse.click(*centre(face, "[data-au=AU12] .magicface-dot"))
    face.keyboard.press("PageUp")
    face.click("[data-action=reset]", force=True)
    assert face.evaluate("() => [find('AU12').value, commits]") == [5, 0]
    face.keyboard.press("Escape")
    face.evaluate("() => document.activeElement.blur()")
    face.mouse.move(0, 590)
    assert "connected" in face.inner_text(".magicface-readout")


def test_a_node_without_the_expected_widgets_still_shows_a_face(face: Page) -> None:
    face.evaluate("() => { node.widgets = undefined; node.inputs = undefined; view.paint(); }")
    assert set(totals(face).values()) == {0}
    assert face.locator("[aria-disabled=true][role=slider]").count() == len(CODES)


@pytest.mark.parametrize(
    ("locale", "title"), [("zh", "面部"), ("ja", "顔"), ("zh-TW", "面部"), ("fr", "Face")]
)
def test_the_words_follow_the_language(
    module_page: Page, version: str, locale: str, title: str
) -> None:
    build(module_page, version, locale)
    label: Any = module_page.get_attribute(".magicface-face", "aria-label")
    assert label.startswith(title)
    texts = "async (locale) => Object.keys((await import('/texts.mjs')).textsFor(locale))"
    assert module_page.evaluate(texts, locale) == module_page.evaluate(texts, "en")
