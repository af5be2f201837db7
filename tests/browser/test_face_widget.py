"""The face on AU Delta Builder in ComfyUI's own frontend, in litegraph and in Nodes 2.0."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from magicface_core.aus import ACTION_UNITS

if TYPE_CHECKING:
    from comfyui_page import ComfyPage

CODES = [unit.code for unit in ACTION_UNITS]
BUILDER = "MagicFace_AUDeltaBuilder"
WIDGETS = ["preset", "strength", *CODES, "brows", "eyes", "mouth"]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def node(comfy: ComfyPage) -> str:
    """An AU Delta Builder with room for all of it."""
    comfy.page.set_viewport_size({"width": 1400, "height": 1000})
    return comfy.add(BUILDER)


def slider_place(comfy: ComfyPage, node: str, name: str) -> dict[str, float]:
    """Where a slider's knob and the middle of its track are, the track's length, pixels for 1."""
    if comfy.renderer == "nodes 2.0":
        script = """const row = face.closest('[data-node-id]')
                .querySelectorAll('[data-testid=node-widget]')[argument];
            const knob = row.querySelector('[role=slider]');
            const track = row.querySelector('[style*=linear-gradient]');
            const box = knob.getBoundingClientRect();
            const {x, width} = (track ?? knob.parentElement).getBoundingClientRect();
            const {min, max} = node.widgets[argument].options;
            return {x: box.x + box.width / 2, y: box.y + box.height / 2, middle: x + width / 2,
                length: width, unit: width / (max - min)};"""
    else:
        script = """const widget = node.widgets[argument];
            const {min, max} = widget.options;
            const width = node.size[0] - 30;
            const [left, top] = [node.pos[0] + 15 + width * (widget.value - min) / (max - min),
                node.pos[1] + widget.y + 10];
            const {scale, offset} = app.canvas.ds;
            const box = app.canvas.canvas.getBoundingClientRect();
            const middle = box.x + (node.pos[0] + node.size[0] / 2 + offset[0]) * scale;
            return {x: box.x + (left + offset[0]) * scale, y: box.y + (top + offset[1]) * scale,
                middle, length: width * scale, unit: width / (max - min) * scale};"""
    place: dict[str, float] = comfy.ask(node, script, WIDGETS.index(name))
    return place


def pixel(comfy: ComfyPage, x: float, y: float) -> tuple[int, ...]:
    """The colour of the screen at a point."""
    shot = comfy.page.screenshot(clip={"x": round(x), "y": round(y), "width": 1, "height": 1})
    colour = Image.open(io.BytesIO(shot)).convert("RGB").getpixel((0, 0))
    assert isinstance(colour, tuple)
    return colour


def test_the_face_is_on_the_node_below_its_sliders(comfy: ComfyPage, node: str) -> None:
    box = comfy.ask(
        node, "const box = face.getBoundingClientRect(); return [box.width, box.height, box.y];"
    )
    assert box[0] > 300
    assert box[1] >= 280
    assert box[2] > slider_place(comfy, node, "AU26")["y"]
    assert comfy.readout(node).startswith("Drag a dot")


def test_moving_a_slider_by_mouse_changes_the_face_at_once(comfy: ComfyPage, node: str) -> None:
    """At the width that the node is made with."""
    before = comfy.drawing(node)
    place = slider_place(comfy, node, "AU12")
    assert place["length"] >= 150
    comfy.drag((place["x"], place["y"]), (3 * place["unit"], 0))
    comfy.page.wait_for_timeout(50)
    assert comfy.value(node, "AU12") == pytest.approx(3, abs=0.3)
    assert comfy.drawing(node) != before
    place = slider_place(comfy, node, "AU12")
    comfy.drag((place["x"], place["y"]), (-5 * place["unit"], 0))
    assert comfy.value(node, "AU12") == pytest.approx(-2, abs=0.5)


def test_a_slider_ends_where_edits_look_natural(comfy: ComfyPage, node: str) -> None:
    place = slider_place(comfy, node, "AU4")
    comfy.drag((place["x"], place["y"]), (place["length"], 0))
    assert comfy.value(node, "AU4") == 5


def test_a_value_beyond_the_usual_stays_and_its_slider_shows_it(
    comfy: ComfyPage, node: str
) -> None:
    comfy.choose(node, "AU17", 8)
    comfy.page.wait_for_timeout(300)
    assert comfy.value(node, "AU17") == 8
    place = slider_place(comfy, node, "AU17")
    comfy.drag((place["x"], place["y"]), (-4 * place["unit"], 0))
    assert comfy.value(node, "AU17") == pytest.approx(4, abs=0.5)


def test_zero_and_both_sides_of_a_slider_are_seen(comfy: ComfyPage, node: str) -> None:
    """The middle is white; more is warm and less is cold at the ends that a value reaches."""
    comfy.choose(node, "AU12", 5)
    comfy.choose(node, "AU4", -5)
    comfy.ask(node, "app.canvas.setDirty(true, true);")
    comfy.page.wait_for_timeout(300)
    ends = {}
    for name, side in (("AU12", 1), ("AU4", -1)):
        place = slider_place(comfy, node, name)
        assert min(pixel(comfy, place["middle"], place["y"])) > 180
        ends[name] = pixel(comfy, place["middle"] + side * 0.35 * place["length"], place["y"])
    assert ends["AU12"][0] > ends["AU12"][2] + 60
    assert ends["AU4"][2] > ends["AU4"][0] + 60


def test_typing_a_value_changes_the_face_at_once(comfy: ComfyPage, node: str) -> None:
    """By arrow keys in Nodes 2.0; litegraph's sliders have no keyboard, its numbers a dialog."""
    comfy.choose(node, "preset", "happy")
    before = comfy.drawing(node)
    if comfy.renderer == "nodes 2.0":
        place = slider_place(comfy, node, "AU12")
        comfy.page.mouse.click(place["x"], place["y"])
        comfy.press(*["ArrowRight"] * 6)
        assert comfy.value(node, "AU12") == pytest.approx(0.6, abs=0.11)
    else:
        place = slider_place(comfy, node, "strength")
        comfy.page.mouse.dblclick(place["x"], place["y"])
        dialog = comfy.page.locator(".graphdialog input")
        dialog.fill("0.5", timeout=5000)
        dialog.press("Enter")
        assert comfy.value(node, "strength") == 0.5
    assert comfy.drawing(node) != before


def test_preset_and_strength_show_in_the_face(comfy: ComfyPage, node: str) -> None:
    plain = comfy.drawing(node)
    comfy.choose(node, "preset", "surprised")
    surprised = comfy.drawing(node)
    comfy.choose(node, "strength", 0.5)
    half = comfy.drawing(node)
    assert len({plain, surprised, half}) == 3
    assert comfy.readout(node) == "AU1+2 AU2+2 AU5+1.5 AU25+1.5 AU26+2"
    comfy.choose(node, "preset", "neutralise")
    assert comfy.drawing(node) == plain
    assert {comfy.value(node, code) for code in CODES} == {0}


def test_a_value_set_by_other_code_shows_within_a_moment(comfy: ComfyPage, node: str) -> None:
    before = comfy.drawing(node)
    comfy.ask(node, "node.widgets.find((widget) => widget.name === 'AU26').value = 6;")
    comfy.page.wait_for_timeout(600)
    assert comfy.drawing(node) != before


@pytest.mark.parametrize("zoom", [1.0, 0.6, 1.4])
def test_pulling_the_face_moves_the_slider_and_not_the_node(
    comfy: ComfyPage, node: str, zoom: float
) -> None:
    place = """app.canvas.ds.scale = argument;
        app.canvas.ds.offset = [60, argument > 1 ? -380 : 60];
        app.canvas.setDirty(true, true);"""
    comfy.ask(node, place, zoom)
    comfy.page.wait_for_timeout(500)
    state = "return JSON.stringify([[...node.pos], [...app.canvas.ds.offset], app.canvas.ds.scale])"
    before = comfy.ask(node, state)
    start = comfy.dot(node, "AU1")
    length = comfy.ask(node, "return face.querySelector('svg').getBoundingClientRect().height")
    comfy.drag(start, (0, -16 * length / 244))
    assert comfy.value(node, "AU1") == pytest.approx(4, abs=0.3)
    assert comfy.ask(node, state) == before
    assert comfy.readout(node).endswith(f"+{comfy.value(node, 'AU1'):.1f}")


def test_hovering_names_the_au(comfy: ComfyPage, node: str) -> None:
    comfy.choose(node, "AU12", 3)
    comfy.page.mouse.move(*comfy.dot(node, "AU12"))
    assert comfy.readout(node) == "AU12 smile +3.0"


def test_click_and_keyboard_on_the_face(comfy: ComfyPage, node: str) -> None:
    comfy.page.mouse.click(*comfy.dot(node, "AU9"))
    assert comfy.value(node, "AU9") == 1
    comfy.press("ArrowUp", "Shift+ArrowUp")
    assert comfy.value(node, "AU9") == 2.1
    comfy.press("Tab")
    focused = comfy.focused()
    assert focused["aria-label"] == "AU12 smile"
    comfy.press("PageDown")
    assert comfy.value(node, "AU12") == -1
    comfy.page.mouse.click(*comfy.button(node, "reset"))
    assert {comfy.value(node, code) for code in CODES} == {0}


def test_a_change_on_the_face_is_undone_and_redone(comfy: ComfyPage, node: str) -> None:
    comfy.drag(comfy.dot(node, "AU1"), (0, -20))
    pulled = comfy.value(node, "AU1")
    comfy.page.mouse.click(*comfy.dot(node, "AU4"))
    comfy.press("Shift+ArrowUp")
    states = [(pulled, 2), (pulled, 1), (pulled, 0), (0, 0)]
    drawings = []
    for state in states:
        assert (comfy.value(node, "AU1"), comfy.value(node, "AU4")) == state
        drawings.append(comfy.drawing(node))
        comfy.press("Control+z") if state != states[-1] else None
        comfy.page.wait_for_timeout(700)
    assert len(set(drawings)) == len(states)
    for state, drawing in reversed(list(zip(states, drawings, strict=True))[:-1]):
        comfy.press("Control+y")
        comfy.page.wait_for_timeout(700)
        assert (comfy.value(node, "AU1"), comfy.value(node, "AU4")) == state
        assert comfy.drawing(node) == drawing


def prepared(comfy: ComfyPage, node: str) -> dict[str, Any]:
    """Values by name after some were changed in different ways."""
    comfy.choose(node, "preset", "angry")
    comfy.choose(node, "strength", 0.75)
    comfy.choose(node, "mouth", 0.5)
    comfy.focus(node, "AU26")
    comfy.press("PageUp", "PageUp", "ArrowUp")
    comfy.focus(node, "AU1")
    comfy.press("PageDown")
    return {name: comfy.value(node, name) for name in WIDGETS}


def test_the_face_is_in_neither_workflow_nor_prompt(comfy: ComfyPage, node: str) -> None:
    values = prepared(comfy, node)
    assert values["AU26"] == 2.1
    [saved] = comfy.workflow()["nodes"]
    assert saved["widgets_values"] == list(values.values())
    [sent] = comfy.prompt().values()
    assert sent == {"class_type": BUILDER, "inputs": values, "_meta": sent["_meta"]}


def test_save_and_open_keep_values_and_face(comfy: ComfyPage, node: str) -> None:
    values, drawing = prepared(comfy, node), comfy.drawing(node)
    saved = comfy.workflow()
    comfy.clear()
    comfy.show(saved)
    assert {name: comfy.value(node, name) for name in WIDGETS} == values
    assert comfy.drawing(node) == drawing
    assert comfy.workflow()["nodes"] == saved["nodes"]


def test_reloading_the_page_keeps_values_and_face(comfy: ComfyPage, node: str) -> None:
    values, drawing = prepared(comfy, node), comfy.drawing(node)
    comfy.page.wait_for_timeout(1500)  # the frontend keeps a draft, a moment after each change
    comfy.load()
    assert {name: comfy.value(node, name) for name in WIDGETS} == values
    comfy.page.wait_for_timeout(500)
    assert comfy.drawing(node) == drawing


def test_copy_and_paste_give_a_second_face_of_its_own(comfy: ComfyPage, node: str) -> None:
    values, drawing = prepared(comfy, node), comfy.drawing(node)
    comfy.ask(node, "document.activeElement.blur(); app.canvas.selectNode(node);")
    comfy.page.mouse.move(900, 500)
    comfy.ask(node, "app.canvas.copyToClipboard(); app.canvas.pasteFromClipboard();")
    comfy.page.wait_for_timeout(800)
    copies = [item["id"] for item in comfy.workflow()["nodes"] if str(item["id"]) != node]
    assert len(copies) == 1
    copy = str(copies[0])
    assert {name: comfy.value(copy, name) for name in WIDGETS} == values
    assert comfy.drawing(copy) == drawing
    comfy.choose(copy, "AU12", 9)
    assert comfy.value(node, "AU12") == 0
    assert comfy.drawing(node) == drawing != comfy.drawing(copy)


def test_a_slider_driven_by_a_link_is_shown_as_disabled(comfy: ComfyPage, node: str) -> None:
    number = comfy.add("PrimitiveFloat", 500, 0)
    link = """const source = app.graph.nodes.find((other) => String(other.id) === argument);
        source.connect(0, node, node.inputs.findIndex((slot) => slot.name === 'AU12'));"""
    comfy.ask(node, link, number)
    comfy.page.wait_for_timeout(600)
    comfy.page.mouse.click(*comfy.dot(node, "AU12"))
    assert comfy.value(node, "AU12") == 0
    assert comfy.focused()["aria-disabled"] == "true"
    assert comfy.readout(node) == "AU12 smile set by a link"
    assert comfy.prompt()[node]["inputs"]["AU12"] == [number, 0]
    comfy.ask(node, "node.disconnectInput(node.inputs.findIndex((slot) => slot.name === 'AU12'))")
    comfy.page.wait_for_timeout(600)
    comfy.page.mouse.click(*comfy.dot(node, "AU12"))
    assert comfy.value(node, "AU12") == 1


def test_wheel_and_middle_button_over_the_face_move_the_view(comfy: ComfyPage, node: str) -> None:
    view = "return [app.canvas.ds.scale, ...app.canvas.ds.offset]"
    start = comfy.ask(node, view)
    comfy.page.mouse.move(*comfy.dot(node, "AU9"))
    comfy.page.mouse.wheel(0, -120)
    comfy.page.wait_for_timeout(400)
    zoomed = comfy.ask(node, view)
    assert zoomed[0] > start[0]
    x, y = comfy.dot(node, "AU9")
    comfy.page.mouse.move(x, y)
    comfy.page.mouse.down(button="middle")
    comfy.page.mouse.move(x + 50, y - 40, steps=4)
    comfy.page.mouse.up(button="middle")
    comfy.page.wait_for_timeout(400)
    assert comfy.ask(node, view)[1:] != zoomed[1:]
    assert comfy.value(node, "AU9") == 0


def test_a_removed_node_leaves_nothing_behind(comfy: ComfyPage, node: str) -> None:
    comfy.ask(node, "app.graph.remove(node);")
    comfy.page.wait_for_timeout(600)
    assert comfy.page.locator(".magicface-face").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_panel_follows_the_theme(comfy: ComfyPage, node: str, theme: str) -> None:
    choose = "(theme) => app.extensionManager.setting.set('Comfy.ColorPalette', theme)"
    comfy.page.evaluate(choose, theme)
    comfy.page.wait_for_timeout(500)
    colours = comfy.ask(
        node,
        "const style = getComputedStyle(face); return [style.backgroundColor, style.color]"
        ".map((text) => text.match(/[0-9.]+/g).slice(0, 3).reduce((sum, part) => sum + +part, 0));",
    )
    comfy.page.evaluate(choose, "dark")
    assert (colours[0] > colours[1]) is (theme == "light")
    assert abs(colours[0] - colours[1]) > 250


def test_the_node_works_the_same_without_the_script(comfy: ComfyPage, node: str) -> None:
    """A workflow saved with the face opens without it, and the other way round."""
    values = prepared(comfy, node)
    saved = comfy.workflow()
    script = "**/ComfyUI-MagicFace/magicface.js*"
    comfy.page.route(script, lambda route: route.abort())
    try:
        comfy.load()
        comfy.clear()
        comfy.show(saved)
        assert comfy.ask(node, "return face === undefined;")
        assert {name: comfy.value(node, name) for name in WIDGETS} == values
        bare = comfy.workflow()
        assert bare["nodes"][0]["widgets_values"] == saved["nodes"][0]["widgets_values"]
    finally:
        comfy.page.unroute(script)
        comfy.load()
        comfy.log.errors.clear()  # the refused script itself
    comfy.clear()
    comfy.show(bare)
    assert {name: comfy.value(node, name) for name in WIDGETS} == values
